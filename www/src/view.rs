//! The views of the app, in the order of its tabs.

/// The tabs of the app.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    Services,
    Voice,
    Volunteer,
    Ide,
    Network,
    Settings,
}

impl View {
    /// All of them, in their order.
    pub const ALL: [View; 6] =
        [View::Services, View::Voice, View::Volunteer, View::Ide, View::Network, View::Settings];

    /// Its part of the address, also the stem of element ids.
    pub fn slug(self) -> &'static str {
        match self {
            View::Services => "services",
            View::Voice => "voice",
            View::Volunteer => "volunteer",
            View::Ide => "ide",
            View::Network => "network",
            View::Settings => "settings",
        }
    }

    /// Its label.
    pub fn label(self) -> &'static str {
        match self {
            View::Services => "Services",
            View::Voice => "Voice",
            View::Volunteer => "Volunteer",
            View::Ide => "IDE",
            View::Network => "Network",
            View::Settings => "Settings",
        }
    }
}
