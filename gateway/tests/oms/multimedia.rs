//! Multimedia messages through the door. Knows what is kept of one.

use model::party::{Carries, OmsMultimedia, OmsService};
use model::record::Service as Kind;

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
