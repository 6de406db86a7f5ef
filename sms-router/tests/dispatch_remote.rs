//! Farms over TCP with mTLS: the same as within the process, and those with a wrong name are refused.

mod dispatching;

use std::sync::Arc;

use control::{Dialer, FarmIdentity, KeepAlive, Server};
use dispatching::{Disk, FakeFarm, Router, record, route};
use lease::RouterMessage;
use lease::message::{KnownSession, Peer};
use lease::record::OutcomeKind;
use model::{FarmName, Lane, RouterName};
use runtime::pki::Authority;
use runtime::{Stop, tls};

/// An authority, a door for farms, and certificates.
struct Site {
    directory: tempfile::TempDir,
    stop: Stop,
    address: String,
}

impl Site {
    async fn open(router: &Router) -> Self {
        tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path()).unwrap();
        let issued = authority.issue_server(&["127.0.0.1"]).unwrap().write(directory.path(), "server").unwrap();
        let certificates = tls::Certificates::load(&[issued], "tls").unwrap();
        let config = tls::mutual_server_config(certificates, &directory.path().join("ca.pem"), "ca").unwrap();
        let stop = Stop::new(20);
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), config, KeepAlive::default(), &stop).await.unwrap();
        let address = server.address().to_string();
        let dispatch = router.dispatch.clone();
        router.spawn(async move { dispatch.serve(server).await });
        Site { directory, stop, address }
    }

    fn dialer(&self, farm: &str) -> Dialer {
        let authority = Authority::open(self.directory.path()).unwrap();
        let name = FarmIdentity::certificate_name("blue", &FarmName::new(farm).unwrap()).unwrap();
        let files = authority.issue_client(&name).unwrap().write(self.directory.path(), farm).unwrap();
        let config: Arc<_> = tls::client_config(&self.directory.path().join("ca.pem"), Some(&files), "tls").unwrap();
        Dialer::new(&self.address, &config, KeepAlive::default()).unwrap()
    }

    async fn close(self) {
        assert!(self.stop.drain().await.is_complete());
    }
}

#[tokio::test]
async fn a_farm_elsewhere_is_served_and_may_come_back() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"]), record("quiet", 2, &["slow"])]).await;
    let router = Router::start(&disk);
    let site = Site::open(&router).await;
    let mut farm = FakeFarm::hello(site.dialer("cellar").dial().await.unwrap(), "cellar", &["slow"]).await;
    farm.welcomed().await;
    farm.grant("slow", "modem-1", 2).await;
    let (first, second) = (farm.next_lease().await, farm.next_lease().await);
    farm.report(&first, OutcomeKind::Sent).await;
    assert_eq!(farm.forgotten().await, [first.attempt]);
    drop(farm);

    let mut farm = FakeFarm::hello(site.dialer("cellar").dial().await.unwrap(), "cellar", &["slow"]).await;
    farm.welcomed().await;
    farm.grant("slow", "modem-1", 2).await;
    let again = farm.next_lease().await;
    assert_eq!((again.attempt.delivery, again.attempt.number), (second.attempt.delivery, 2));
    farm.report(&again, OutcomeKind::Sent).await;
    assert_eq!(disk.until_outcomes(2).await.len(), 2);
    drop(farm);
    router.stop().await;
    site.close().await;
}

#[tokio::test]
async fn a_farm_that_calls_itself_otherwise_is_refused() {
    let disk = Disk::new().await;
    let router = Router::start(&disk);
    let site = Site::open(&router).await;
    let mut farm = FakeFarm::hello(site.dialer("attic").dial().await.unwrap(), "cellar", &["slow"]).await;
    let RouterMessage::Refused { reason } = farm.hear().await else { panic!("a refusal comes first") };
    assert_eq!(reason, "the farm calls itself `cellar`, its certificate says `attic`");
    assert!(farm.end.receiver.next().await.is_err(), "the stream ends");
    router.stop().await;
    site.close().await;
}

#[tokio::test]
async fn a_second_way_to_a_router_leaves_the_first_alone_and_peers_are_told() {
    let disk = Disk::new().await;
    disk.append(Lane::Front(route("slow")), [record("quiet", 1, &["slow"])]).await;
    let router = Router::start(&disk);
    let site = Site::open(&router).await;
    let mut farm = FakeFarm::hello(site.dialer("cellar").dial().await.unwrap(), "cellar", &["slow"]).await;
    farm.welcomed().await;
    let first = farm.session;
    let known = |open| vec![KnownSession { router: RouterName::new("router-1").unwrap(), session: first, open }];
    let dial = async |open| {
        let end = site.dialer("cellar").dial().await.unwrap();
        FakeFarm::hello_again(end, "cellar", &["slow"], known(open)).await
    };
    let mut second = dial(true).await;
    let RouterMessage::AlreadyAttached { session, .. } = second.hear().await else { panic!("it is attached") };
    assert_eq!(session, first);
    assert!(second.end.receiver.next().await.is_err(), "the second stream ends");

    let peers: Vec<Peer> = ["router-1", "router-2"]
        .map(|name| Peer { router: RouterName::new(name).unwrap(), address: name.into() })
        .into();
    router.dispatch.set_peers(peers.clone());
    router.dispatch.set_peers(peers.clone());
    assert_eq!(farm.listen().await, RouterMessage::Peers { peers: peers.clone() });
    farm.grant("slow", "modem-1", 1).await;
    let lease = farm.next_lease().await;
    farm.report(&lease, OutcomeKind::Sent).await;
    assert_eq!(farm.forgotten().await, [lease.attempt]);

    // A farm that lost its stream, and says so, takes the session over; its welcome names the peers.
    let mut third = dial(false).await;
    let RouterMessage::Welcome { session, peers: named, .. } = third.hear().await else { panic!("it is welcome") };
    assert!(session > first);
    assert_eq!(named, peers);
    while farm.end.receiver.next().await.is_ok() {}
    drop(third);
    router.stop().await;
    site.close().await;
}
