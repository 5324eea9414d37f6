//! What a remote session description must look like before the browser sees it.

use thiserror::Error;

/// Why a session description was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SdpError {
    /// Longer than [`crate::Config::max_sdp_len`].
    #[error("a session description of {0} bytes")]
    TooLong(usize),
    /// Not exactly one data section: audio and video are never wanted here.
    #[error("a session description that is not one data section")]
    Sections,
    /// No DTLS fingerprint: the connection would not be bound to the peer that sent it.
    #[error("a session description without a fingerprint")]
    Fingerprint,
}

/// Checks size and shape; the browser checks the rest.
pub fn check(sdp: &str, max_len: usize) -> Result<(), SdpError> {
    if sdp.len() > max_len {
        return Err(SdpError::TooLong(sdp.len()));
    }
    let mut sections = sdp.lines().filter(|line| line.starts_with("m="));
    if !sections.next().is_some_and(|line| line.starts_with("m=application ")) || sections.next().is_some() {
        return Err(SdpError::Sections);
    }
    if !sdp.lines().any(|line| line.starts_with("a=fingerprint:")) {
        return Err(SdpError::Fingerprint);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_data_section_with_a_fingerprint() {
        let data = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 AA\r\n";
        assert_eq!(check(data, 1000), Ok(()));
        assert_eq!(check(data, 10), Err(SdpError::TooLong(data.len())));
        assert_eq!(check("", 10), Err(SdpError::Sections));
        assert_eq!(check(&format!("{data}m=audio 9 RTP 0\r\n"), 1000), Err(SdpError::Sections));
        assert_eq!(check("m=audio 9 RTP 0\r\na=fingerprint:x", 1000), Err(SdpError::Sections));
        assert_eq!(check("m=application 9 x y\r\n", 1000), Err(SdpError::Fingerprint));
    }
}
