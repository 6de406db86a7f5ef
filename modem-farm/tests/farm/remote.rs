//! A farm on another machine: it dials out over TCP with certificates.

use crate::bench::*;
use control::{FarmIdentity, KeepAlive, Server};
use lease::record::OutcomeKind;
use model::FarmName;
use runtime::pki::Authority;
use runtime::{Stop, tls};

#[tokio::test]
async fn a_farm_dials_out_with_its_certificate_and_again_after_the_router_came_back() {
    tls::install_provider();
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::open(directory.path()).unwrap();
    let identity = FarmIdentity::certificate_name("blue", &FarmName::new("farm-1").unwrap()).unwrap();
    let client = authority.issue_client(&identity).unwrap().write(directory.path(), "farm").unwrap();
    let served = authority.issue_server(&["127.0.0.1"]).unwrap().write(directory.path(), "server").unwrap();
    let ca = directory.path().join("ca.pem");
    let serve = async |address: String, stop: &Stop| {
        let certificates = tls::Certificates::load(std::slice::from_ref(&served), "tls").unwrap();
        let config = tls::mutual_server_config(certificates, &ca, "client_ca").unwrap();
        Server::bind(address.parse().unwrap(), config, KeepAlive::default(), stop).await.unwrap()
    };

    let bench = Bench::with(vec![modem(1)]).await;
    let stop = Stop::new(5);
    let mut server = serve("127.0.0.1:0".into(), &stop).await;
    let address = server.address().to_string();
    let farm = bench.farm_with(|config| {
        config.routers = vec![address.clone()];
        (config.ca_file, config.certificate_file, config.key_file) =
            (ca.clone(), client.certificate.clone(), client.key.clone());
    });
    let attached = server.next().await.unwrap();
    assert_eq!(attached.identity.farm.as_str(), "farm-1");
    let mut router = Router::welcoming(attached.end, 1).await;
    router.ask().await;
    router.lease(attempt(0, 1), TO, "from afar").await;
    assert_eq!(router.kind_of(attempt(0, 1)).await, OutcomeKind::Sent);

    // The router dies; another life of it finds the outcome it has not acknowledged.
    drop(router);
    drop(server);
    stop.begin();
    let _ = stop.drain().await;
    let stop = Stop::new(5);
    let mut server = serve(address, &stop).await;
    let mut router = Router::welcoming(server.next().await.unwrap().end, 2).await;
    router.ask().await;
    assert_eq!(router.journal.len(), 1);
    router.lease(attempt(1, 1), TO, "again").await;
    assert_eq!(router.kind_of(attempt(1, 1)).await, OutcomeKind::Sent);
    assert_eq!(bench.texts(), ["from afar", "again"]);
    drop(farm);
}
