//! A link as a QR code, for whoever holds a telephone towards this screen.

use qrcodegen::{QrCode, QrCodeEcc};
use web_sys::HtmlDialogElement;
use yew::prelude::*;

use crate::hooks::window;

/// Light modules around the code (ISO/IEC 18004, 9.1).
const QUIET: i32 = 4;
/// The longest link that is drawn, in bytes: what is denser is not read from a screen.
const MAX_LINK: usize = 600;

#[derive(Properties, PartialEq)]
pub struct Props {
    /// The address, whole.
    pub link: String,
    /// What stands on the button.
    pub label: AttrValue,
    /// What the link leads to, as the dialog's heading says it.
    pub title: AttrValue,
}

/// A button, and the dialog that it opens.
#[component]
pub fn Invite(props: &Props) -> Html {
    let dialog = use_node_ref();
    let open = use_state(|| false);
    // The dialog is there first, then it is shown: what is modal takes the keyboard's focus and gives it back.
    use_effect_with((dialog.clone(), *open), |(dialog, open)| {
        if let Some(dialog) = dialog.cast::<HtmlDialogElement>().filter(|dialog| *open && !dialog.open()) {
            // It is in the page and not open, so that nothing can be refused.
            let _ = dialog.show_modal();
        }
    });
    let show = {
        let open = open.setter();
        Callback::from(move |_: MouseEvent| open.set(true))
    };
    let hide = {
        let dialog = dialog.clone();
        Callback::from(move |_: MouseEvent| {
            if let Some(dialog) = dialog.cast::<HtmlDialogElement>() {
                dialog.close();
            }
        })
    };
    let onclose = {
        let open = open.setter();
        Callback::from(move |_: Event| open.set(false))
    };
    html! {
        <>
            <button class="button" data-testid="invite" aria-haspopup="dialog" onclick={show}>{ &props.label }</button>
            if *open {
                <dialog class="card invite" data-testid="invite-dialog" aria-labelledby="invite-title" ref={dialog} {onclose}>
                    <h2 id="invite-title"><bdi>{ &props.title }</bdi></h2>
                    { code(&props.link) }
                    <bdi class="mono small wrap" data-testid="invite-link">{ &props.link }</bdi>
                    if is_here_only(&window().location().hostname().unwrap_or_default()) {
                        <p class="hint" data-testid="invite-here-only">{ "Only this computer understands this address. For other devices, start the relay on an address of your network: docs/operate.md, “A laptop as relay”." }</p>
                    }
                    <button class="button primary" onclick={hide}>{ "Close" }</button>
                </dialog>
            }
        </>
    }
}

/// The code of a link, dark on light in every theme: cameras expect it so.
fn code(link: &str) -> Html {
    let made = QrCode::encode_text(link, QrCodeEcc::Medium).ok().filter(|_| link.len() <= MAX_LINK);
    let Some(code) = made else {
        return html! { <p class="hint">{ "The link is too long for a code that could be read from a screen." }</p> };
    };
    let side = code.size() + 2 * QUIET;
    html! {
        <svg class="qr" data-testid="invite-code" viewBox={format!("0 0 {side} {side}")} role="img" aria-label="The link as a QR code" shape-rendering="crispEdges">
            <rect width={side.to_string()} height={side.to_string()} fill="#ffffff" />
            <path d={path(&code)} fill="#000000" />
        </svg>
    }
}

/// The dark modules, row by row, neighbours as one rectangle.
fn path(code: &QrCode) -> String {
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let dark = (x..code.size()).take_while(|x| code.get_module(*x, y)).count() as i32;
            if dark > 0 {
                path.push_str(&format!("M{} {}h{dark}v1h-{dark}z", x + QUIET, y + QUIET));
            }
            x += dark + 1;
        }
    }
    path
}

/// Does a host's name mean this machine, whoever reads it.
fn is_here_only(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_told_from_others() {
        for host in ["localhost", "chat.localhost", "127.0.0.1", "127.8.0.1", "[::1]"] {
            assert!(is_here_only(host), "{host}");
        }
        for host in ["10.42.0.1", "tabfarm.org", "localhost.tabfarm.org", "192.168.127.1", "[fd00::1]"] {
            assert!(!is_here_only(host), "{host}");
        }
    }
}
