//! Why a module is refused.

/// Why a module is refused, in words for its author. The module was not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The module is larger than any host takes.
    #[error("the module has {size} bytes, more than {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bytes are no valid core module with the features of this ABI version.
    #[error("the module is not valid: {message} (at byte {offset})")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where.
        offset: u64,
    },
    /// An import that hosts do not offer.
    #[error("the module imports {module}.{name}, which no host offers")]
    Import {
        /// Module of the import.
        module: String,
        /// Its name.
        name: String,
    },
    /// An import of a host function with a wrong signature.
    #[error("the module imports host.{name} with a wrong signature")]
    Signature {
        /// Name of the import.
        name: String,
    },
    /// An export of the ABI is missing or has a wrong type.
    #[error("the module must export {name}: {expected}")]
    Export {
        /// Its name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// An export's name begins with `$`.
    #[error("the export {name:?} begins with '$', which is reserved for hosts")]
    ReservedExport {
        /// Its name.
        name: String,
    },
    /// Something that would make replicas differ or a state impossible to save.
    #[error("the module uses {what}, which this ABI version does not allow")]
    NotAllowed {
        /// What it is.
        what: &'static str,
    },
    /// There is too much of something.
    #[error("the module has too many or too large {what}: {found}, more than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The memory at the start is larger than the manifest allows.
    #[error("the module starts with {pages} pages of memory, its limit is {limit} (a page has 64 KiB)")]
    Memory {
        /// Pages that it starts with.
        pages: u64,
        /// The limit.
        limit: u32,
    },
}

impl From<wasmparser::Error> for Refused {
    fn from(error: wasmparser::Error) -> Self {
        let message = error.to_string();
        let message = message.split(" (at offset").next().unwrap_or(&message).to_owned();
        Refused::Invalid { message, offset: error.offset() }
    }
}
