//! The settings of an account for SyncML data synchronisation (application `w5`; OMA's registration document of SyncML DS).
//! Knows which parameters phones expect; must not know accounts and tenants. It has no place for a password: the user types
//! it on the phone.

use super::{Characteristic, Document};

const APPLICATION_ID: &str = "w5";

/// An account on a synchronisation server, without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct SyncAccount {
    /// What the phone's menu calls it.
    pub name: String,
    /// The server's identifier; later notifications name it.
    pub provider_id: Option<String>,
    /// How the phone gets to the network, if it must be said.
    pub route: Option<Route>,
    /// The server's address.
    pub address: String,
    /// Its port, if the address does not say it.
    pub port: Option<u16>,
    /// The user's name to the server.
    pub user: String,
    /// What is synchronised.
    pub data_stores: Vec<DataStore>,
}

/// How the phone gets to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Through a network access point of this name.
    AccessPoint(String),
    /// Through a proxy of this name.
    Proxy(String),
}

/// One data store of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataStore {
    /// Where it is on the server.
    pub uri: String,
    /// What the phone's menu calls it.
    pub name: String,
    /// The media types it holds; empty: not said.
    pub accepts: String,
}

/// Shows the size only: it names a person.
impl std::fmt::Debug for SyncAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SyncAccount({} data stores)", self.data_stores.len())
    }
}

impl SyncAccount {
    /// The document that offers it to a phone.
    pub fn document(&self) -> Document {
        let mut application = Characteristic::new("APPLICATION").with("APPID", APPLICATION_ID);
        if let Some(provider_id) = &self.provider_id {
            application = application.with("PROVIDER-ID", provider_id);
        }
        application = application.with("NAME", &self.name);
        application = match &self.route {
            Some(Route::AccessPoint(name)) => application.with("TO-NAPID", name),
            Some(Route::Proxy(name)) => application.with("TO-PROXY", name),
            None => application,
        };
        application = application
            .containing(self.address())
            .containing(Characteristic::new("APPAUTH").with("AAUTHNAME", &self.user));
        let application =
            self.data_stores.iter().map(DataStore::resource).fold(application, Characteristic::containing);
        Document::new(vec![application])
    }

    fn address(&self) -> Characteristic {
        let address = Characteristic::new("APPADDR").with("ADDR", &self.address);
        match self.port {
            Some(port) => address.containing(Characteristic::new("PORT").with("PORTNBR", &port.to_string())),
            None => address,
        }
    }
}

impl DataStore {
    fn resource(&self) -> Characteristic {
        let resource = Characteristic::new("RESOURCE").with("URI", &self.uri).with("NAME", &self.name);
        if self.accepts.is_empty() { resource } else { resource.with("AACCEPT", &self.accepts) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_what_phones_expect() {
        let account = SyncAccount {
            name: "IceWarp".to_owned(),
            provider_id: Some("IWS".to_owned()),
            route: Some(Route::AccessPoint("INTERNET".to_owned())),
            address: "https://sync.example.com/syncml".to_owned(),
            port: Some(443),
            user: "alice".to_owned(),
            data_stores: vec![DataStore {
                uri: "./contacts".to_owned(),
                name: "Contacts".to_owned(),
                accepts: "text/x-vcard".to_owned(),
            }],
        };
        let expected = Characteristic::new("APPLICATION")
            .with("APPID", "w5")
            .with("PROVIDER-ID", "IWS")
            .with("NAME", "IceWarp")
            .with("TO-NAPID", "INTERNET")
            .containing(
                Characteristic::new("APPADDR")
                    .with("ADDR", "https://sync.example.com/syncml")
                    .containing(Characteristic::new("PORT").with("PORTNBR", "443")),
            )
            .containing(Characteristic::new("APPAUTH").with("AAUTHNAME", "alice"))
            .containing(
                Characteristic::new("RESOURCE")
                    .with("URI", "./contacts")
                    .with("NAME", "Contacts")
                    .with("AACCEPT", "text/x-vcard"),
            );
        assert_eq!(account.document(), Document::new(vec![expected]));
        assert!(!format!("{account:?}").contains("alice"));
    }
}
