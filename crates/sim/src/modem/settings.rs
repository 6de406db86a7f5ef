//! What the owner of a modem sets, and what a restart forgets. Knows no command.

/// What the owner of a modem sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) echo: bool,
    pub(super) verbose: bool,
    pub(super) quiet: bool,
    /// `+CMEE`: how errors are told.
    pub(super) errors: u8,
    /// `+CMGF`: PDU mode is 0.
    pub(super) format: u8,
    /// `+CSMS`: with 1, what is handed over directly is to be acknowledged.
    pub(super) service: u8,
    pub(super) routing: Routing,
    /// `+CREG`, `+CGREG`, `+CEREG`: whether changes are announced.
    pub(super) registration: [u8; 3],
    /// `+COPS=3,n`.
    pub(super) operator_format: u8,
    /// `+CMMS`.
    pub(super) more_messages: u8,
    pub(super) service_centre: String,
    pub(super) character_set: String,
}

/// `+CNMI`: what is announced, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Routing {
    pub(super) mode: u8,
    /// Inbound messages: 0 stored in silence, 1 stored and announced, 2 and 3 direct.
    pub(super) messages: u8,
    pub(super) broadcasts: u8,
    /// Status reports: 0 held back, 1 direct, 2 stored and announced.
    pub(super) reports: u8,
    pub(super) buffer: u8,
}

impl Settings {
    pub(super) fn new(service_centre: String) -> Self {
        Self {
            echo: true,
            verbose: true,
            quiet: false,
            errors: 0,
            format: 0,
            service: 0,
            routing: Routing::default(),
            registration: [0; 3],
            operator_format: 0,
            more_messages: 0,
            service_centre,
            character_set: "GSM".to_owned(),
        }
    }

    /// As after a restart. The service centre stays: it is on the SIM.
    pub(super) fn reset(&mut self) {
        *self = Self::new(std::mem::take(&mut self.service_centre));
    }
}
