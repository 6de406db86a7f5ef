//! Multimedia messages through the door. Knows what is kept of one.

use model::fetch::End;
use model::party::{Carries, OmsMultimedia, OmsService};
use model::record::Service as Kind;

use wire::mms::Notification;
use wire::wsp::Push;

use crate::service::{Answer, Service, Setup, element};
use crate::{NS, call, codes};

const SLIDES: &str = "<mmsSlides><head><meta name='author' content='msOfficeOutlookOms'/><layout>\
    <root-layout width='120' height='300' background-color='#FFFFFF'/>\
    <region id='image' left='0' top='0' width='120' height='90' fit='meet'/>\
    <region id='text' left='0' top='90' width='120' height='30'/></layout></head>\
    <body><par dur='3000'><img src='cid:pic' region='image'/><text src='cid:words' region='text'/></par></body></mmsSlides>";

fn offering() -> Setup {
    let mut setup = Setup::new().oms(|oms| oms.mms = Some(OmsMultimedia::default()));
    setup.users[0].services = [OmsService::Sms, OmsService::Mms].into();
    setup.routes = vec![Carries::Sms, Carries::Mms];
    setup
}

fn message(slides: &str) -> String {
    let document = format!(
        "<xmsData xmlns='{NS}'><user><userId>demo</userId><password>s3cret demo </password></user><xmsHead>\
         <requiredService>MMS_SENDER</requiredService><to><recipient>+447700900123</recipient>\
         <recipient>+447700900124</recipient></to><subject>Hello</subject></xmsHead><xmsBody format='MMS'>{slides}\
         <content contentType='image/GIF' contentId='pic' contentLocation='../a.gif'>R0lG\nODlh</content>\
         <content contentType='text/plain' contentId='words' contentLocation='b.txt'>Grüße</content></xmsBody></xmsData>"
    );
    call("DeliverXms", "xmsData", &document)
}

#[tokio::test]
async fn a_message_is_kept_as_one_bundle() {
    let service = Service::start(offering()).await;
    assert_eq!(codes(&service.post(message(SLIDES)).await), ["ok"]);
    let sent = service.sent().await;
    assert_eq!(sent.len(), 2, "one delivery a recipient");
    assert_eq!((sent[0].header.service(), sent[0].header.segments), (Kind::Mms, 1));
    let bundle = sent[1].content.multimedia.clone().unwrap();
    assert_eq!((bundle.subject.as_str(), sent[1].content.text.as_str()), ("Hello", ""));
    let media: Vec<_> =
        bundle.media.iter().map(|one| (one.content_type.as_str(), one.id.as_str(), &one.data)).collect();
    assert_eq!(
        media,
        [("image/gif", "pic", &b"GIF89a".to_vec()), ("text/plain", "words", &"Grüße".as_bytes().to_vec())]
    );
    let slide = &bundle.slides[0];
    assert_eq!(
        (slide.duration_ms, slide.image.as_str(), slide.text.as_str(), slide.audio.as_str()),
        (3000, "pic", "words", "")
    );
    let screen = bundle.screen.unwrap();
    assert_eq!((screen.width, screen.height, screen.background.as_str()), (120, 300, "#FFFFFF"));
    assert_eq!(screen.regions.iter().map(|region| region.fit.as_str()).collect::<Vec<_>>(), ["meet", ""]);
}

#[tokio::test]
async fn slides_that_are_not_understood_are_left_out() {
    let mut setup = offering();
    setup.tenants[0].oms.mms = Some(OmsMultimedia { slides: false, ..OmsMultimedia::default() });
    let service = Service::start(setup).await;
    assert_eq!(codes(&service.post(message(SLIDES)).await), ["ok"]);
    let bundle = service.sent().await[0].content.multimedia.clone().unwrap();
    assert_eq!((bundle.slides.len(), bundle.screen, bundle.media.len()), (0, None, 2));
}

#[tokio::test]
async fn without_a_route_nobody_is_offered_any() {
    let mut setup = offering();
    setup.routes = vec![Carries::Sms];
    let service = Service::start(setup).await;
    let item = Answer::of(&service.post(message("")).await).item();
    assert_eq!((item.codes[0].0.as_str(), item.content.as_deref()), ("unregisteredService", Some("MMS_SENDER")));
    let info = Answer::of(&service.post(call("GetServiceInfo", "x", "")).await).document;
    assert!(element(&info, "supportedService").unwrap().starts_with("<SMS_SENDER "), "{info}");
    assert!(!info.contains("MMS_SENDER"), "{info}");
    let offered = Service::start(offering()).await;
    let info = Answer::of(&offered.post(call("GetServiceInfo", "x", "")).await).document;
    assert!(info.contains("<MMS_SENDER supportSlide=\"true\" maxRecipientsPerMessage=\"100\""), "{info}");
}

#[tokio::test]
async fn routes_and_subscriptions_count_for_these_too() {
    let mut setup = offering();
    setup.users[0].services = [OmsService::Mms].into();
    setup.prefixes = vec!["49".into()];
    let service = Service::start(setup).await;
    assert_eq!(codes(&service.post(message("")).await), ["crossCarrier"]);
    assert_eq!(codes(&service.post(crate::Message::to(&["+4915112345678"]).call()).await), ["unregisteredService"]);
}

fn by_notice() -> Setup {
    let mut setup = offering().config(|config| config.content.url = "http://mms.example".into());
    setup.tenants[0].oms.mms = Some(OmsMultimedia { by_notice: true, ..OmsMultimedia::default() });
    setup.users[0].reply_phone = "+447700900001".into();
    setup.routes = vec![Carries::Sms];
    setup
}

#[tokio::test]
async fn without_a_route_it_waits_here_and_phones_get_a_notice_each() {
    let service = Service::start(by_notice()).await;
    let info = Answer::of(&service.post(call("GetServiceInfo", "x", "")).await).document;
    assert!(info.contains("<MMS_SENDER "), "{info}");
    assert_eq!(codes(&service.post(message(SLIDES)).await), ["ok"]);
    let sent = service.sent().await;
    assert_eq!(sent.len(), 2);
    let mut places = Vec::new();
    for one in &sent {
        let (header, binary) = (&one.header, one.content.binary.as_ref().expect("a notice"));
        assert_eq!((header.service(), header.receipt), (Kind::Sms, false), "routed and paid as what it is");
        assert_eq!((header.segments as usize, one.content.multimedia.is_none()), (binary.parts.len(), true));
        let octets: Vec<u8> = binary.parts.iter().flat_map(|part| part.data.to_vec()).collect();
        let notice = Notification::decode(&Push::decode(&octets).unwrap().body).unwrap();
        assert_eq!(notice.from.as_deref(), Some("+447700900001"));
        let fetch = header.fetch.as_ref().unwrap();
        assert_eq!(fetch.until_ms, header.accepted_ms + 72 * 3_600_000);
        places.push(notice.location.strip_prefix("http://mms.example").unwrap().to_owned());
    }
    assert_ne!(places[0], places[1], "each has an address of its own");
    let fetched = service.request("GET", &places[1], &[], "").await;
    assert_eq!((fetched.status, fetched.content_type.as_str()), (200, "application/vnd.wap.mms-message"));
    assert!(fetched.body.contains("GIF89a") && fetched.body.contains("Grüße"), "{fetched:?}");
    let looked = service.request("HEAD", &places[0], &[], "").await;
    assert_eq!(looked.status, 200);
    let told = service.fetched(1).await;
    assert_eq!(told.len(), 1, "who looks has nothing yet");
    let (header, one) = (&sent[1].header, &told[0]);
    assert_eq!(
        (&one.recipient_hash, one.reference),
        (&header.recipient_hash, header.fetch.as_ref().unwrap().reference)
    );
    let again = service.request("GET", &places[1], &[], "").await;
    assert_eq!(again.status, 200, "a phone may come again");
    let says = |status: u8| vec![0x8c, 0x83, 0x98, b'T', 0, 0x8d, 0x92, 0x95, status];
    assert_eq!(service.request("POST", &places[0], &[], says(0x83)).await.status, 204, "later, perhaps");
    assert_eq!(service.request("POST", &places[0], &[], says(0x82)).await.status, 204, "not wanted");
    assert_eq!(service.request("POST", &places[0], &[], "nonsense").await.status, 400);
    assert_eq!(service.request("GET", "/m/x", &[], "").await.status, 404);
    let rejected = async {
        // That it was fetched may be told twice: by whoever came before the first telling was noted.
        while !service.fetched(2).await.iter().any(|one| one.end() == End::Rejected) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), rejected).await.expect("it is told that it is not wanted");
}

#[tokio::test]
async fn what_a_route_carries_does_not_wait_here() {
    let mut setup = by_notice();
    setup.routes = vec![Carries::Sms, Carries::Mms];
    let service = Service::start(setup).await;
    assert_eq!(codes(&service.post(message("")).await), ["ok"]);
    assert!(service.sent().await.iter().all(|one| one.header.service() == Kind::Mms && one.header.fetch.is_none()));
}

#[tokio::test]
async fn the_room_is_bounded_per_message_and_tenant() {
    let service = Service::start(by_notice().config(|config| config.content.message_octets_max = 60)).await;
    assert_eq!(codes(&service.post(message("")).await), ["sizeLimit"]);
    assert_eq!(service.sent().await.len(), 0);
    let service = Service::start(by_notice().config(|config| config.content.tenant_octets_max = 200)).await;
    assert_eq!(codes(&service.post(message("")).await), ["ok"]);
    assert_eq!(codes(&service.post(message("")).await), ["serviceNetwork"]);
    assert_eq!(service.sent().await.len(), 2);
}
