//! The journey: a request at each door becomes an SMS on a modem, and its receipt comes back.

mod support;

use serde_json::{Value, json};
use support::{Carillon, Column, on_both_columns, texts};

on_both_columns! {
    [one_after_the_other:
        a_rest_message_travels_the_cheapest_route_and_its_receipt_comes_back,
        an_oms_message_becomes_an_sms,
        long_and_foreign_texts_arrive_whole,
        octets_arrive_as_they_were_composed,
        many_recipients_are_one_message_with_a_state_each,
        a_message_that_waits_is_cancelled,
    ]
    the_same_key_is_the_same_message_across_restarts,
    a_message_waits_for_its_time,
    receipts_of_a_stopped_process_come_after_its_restart,
}

fn step<'a>(message: &'a Value, name: &str) -> &'a Value {
    let timeline = message["timeline"].as_array().unwrap();
    timeline.iter().find(|entry| entry["step"] == name).unwrap_or_else(|| panic!("no step `{name}` in {message:#}"))
}

async fn a_rest_message_travels_the_cheapest_route_and_its_receipt_comes_back(carillon: &Carillon) {
    let id = carillon.send(&carillon.number(0, 7), "hello from rest").await;
    let message = carillon.wait_state(&id, "delivered").await;

    let routed = step(&message, "routed");
    assert_eq!(routed["route"], "blue-modems", "blue is cheaper in Britain: {routed:#}");
    assert_eq!(routed["unit_price"], json!({ "amount": "0.035", "currency": "EUR" }));
    assert_eq!(routed["segments"], 1);
    assert_eq!(routed["country"], "GB");
    assert!(routed["price_table"].as_u64().unwrap() >= 1);
    assert_eq!(routed["lost"][0]["route"], "green-modems");
    assert!(!routed["lost"][0]["reason"].as_str().unwrap().is_empty());
    assert!(step(&message, "leased")["farm"].is_string());
    let submitted = step(&message, "submitted");
    assert!(step(&message, "delivered")["receipt_time"].is_string());
    let order: Vec<&str> =
        message["timeline"].as_array().unwrap().iter().map(|e| e["step"].as_str().unwrap()).collect();
    assert_eq!(order, ["accepted", "routed", "leased", "submitted", "delivered"], "{message:#}");

    let received = carillon.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].to, carillon.number(0, 7));
    assert_eq!(received[0].text.as_deref(), Some("hello from rest"));
    assert_eq!(submitted["reference"], received[0].reference);
    assert_eq!(submitted["modem"], received[0].link.as_str());
    let ledger = carillon.settle_all(1).await;
    assert_eq!(ledger["by_state"]["delivered"], 1, "{ledger:#}");
}

async fn an_oms_message_becomes_an_sms(carillon: &Carillon) {
    let (user, password) = (&carillon.demo.user_id, &carillon.demo.password);
    let to = carillon.number(1, 42);
    let inner = format!(
        r#"<xmsData client="test" xmlns="http://schemas.microsoft.com/office/Outlook/2006/OMS"><user><userId>{user}</userId><password>{password}</password></user><xmsHead><requiredService>SMS_SENDER</requiredService><to><recipient>{to}</recipient></to></xmsHead><xmsBody format="SMS"><content contentType="text/plain" contentId="a" contentLocation="1.txt">Grüße aus OMS</content></xmsBody></xmsData>"#
    );
    let envelope = format!(
        r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><DeliverXms xmlns="http://schemas.microsoft.com/office/Outlook/2006/OMS"><xmsData><![CDATA[{inner}]]></xmsData></DeliverXms></s:Body></s:Envelope>"#
    );
    let request = carillon.client.post(&carillon.demo.oms).header("content-type", "text/xml; charset=utf-8");
    let answer = request.body(envelope).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(text.contains("code=&quot;ok&quot;") || text.contains("code=\"ok\""), "{text}");
    let ledger = carillon.settle_all(1).await;
    assert_eq!(ledger["by_state"]["delivered"], 1, "{ledger:#}");
    assert_eq!(texts(&carillon.received())["Grüße aus OMS"], 1);
}

async fn long_and_foreign_texts_arrive_whole(carillon: &Carillon) {
    let cases = [
        ("a".repeat(160), 1),
        ("b".repeat(161), 2),
        (format!("{}€", "c".repeat(159)), 2),
        ("д".repeat(70), 1),
        ("д".repeat(71), 2),
        ("🦀".repeat(40), 2),
        ("long ".repeat(200), 7),
    ];
    for (n, (text, segments)) in cases.iter().enumerate() {
        let id = carillon.send(&carillon.number(n, n), text).await;
        let message = carillon.wait_state(&id, "delivered").await;
        assert_eq!(message["deliveries"][0]["segments"], *segments, "{message:#}");
    }
    let received = carillon.received();
    let counts = texts(&received);
    for (text, _) in &cases {
        assert_eq!(counts.get(text), Some(&1), "{text:?}");
    }
    assert_eq!(received.len() as u32, cases.iter().map(|(_, segments)| segments).sum::<u32>());
}

async fn the_same_key_is_the_same_message_across_restarts(column: Column) {
    let place = column.place();
    let mut carillon = place.start().await;
    let body = json!({ "to": carillon.number(0, 1), "text": "only once" });
    let mut ids = Vec::new();
    for round in 0..column.rounds(4, 3) {
        let answer = carillon.post(&body).header("idempotency-key", "order-1").send().await.unwrap();
        assert_eq!(answer.status(), 202);
        ids.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
        if round == 1 {
            carillon.settle_all(1).await;
        }
        if round % 2 == 1 {
            carillon.kill();
            carillon = place.start().await;
        }
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    carillon.wait_state(&ids[0], "delivered").await;
    let other = json!({ "to": carillon.number(0, 1), "text": "another body" });
    let answer = carillon.post(&other).header("idempotency-key", "order-1").send().await.unwrap();
    assert!([202, 422].contains(&answer.status().as_u16()), "a replica may not know the key any more, the router does");
    let ledger = carillon.settle().await;
    assert_eq!(ledger["accepted"], 1, "{ledger:#}");
    assert_eq!(texts(&carillon.received()), std::collections::BTreeMap::from([("only once".to_owned(), 1)]));
}

async fn octets_arrive_as_they_were_composed(carillon: &Carillon) {
    let octets = json!({ "udh": "0605040b8423f0", "data": "010603ceaf85aa55", "dcs": 245, "pid": 0 });
    let to = carillon.number(1, 5);
    let answer = carillon.post(&json!({ "to": to, "binary": octets })).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let message = carillon.wait_state(&id, "delivered").await;
    assert_eq!(message["deliveries"][0]["segments"], 1, "{message:#}");
    let received = carillon.received();
    assert_eq!((received.len(), received[0].to.as_str(), &received[0].text), (1, to.as_str(), &None));
    // TP-PID, TP-DCS, one octet of validity, TP-UDL, then what was composed.
    let tpdu = received[0].tpdu.to_lowercase();
    let (head, composed) = tpdu.split_at(tpdu.len() - 2 * 15);
    assert_eq!(composed, "0605040b8423f0010603ceaf85aa55");
    assert!(head.ends_with("0f") && head[..head.len() - 4].ends_with("00f5"), "{head}");
    assert_ne!(u8::from_str_radix(&head[..2], 16).unwrap() & 0x40, 0, "TP-UDHI");
    for (body, field) in
        [(json!({ "to": to, "binary": { "data": "0g" } }), "binary.data"), (json!({ "to": to }), "text")]
    {
        let refused = carillon.post(&body).send().await.unwrap();
        assert_eq!(refused.status(), 422);
        assert!(refused.text().await.unwrap().contains(field));
    }
}

async fn many_recipients_are_one_message_with_a_state_each(carillon: &Carillon) {
    let to: Vec<String> = (0..20).map(|n| carillon.number(n, n)).collect();
    let answer = carillon.post(&json!({ "to": to, "text": "to all" })).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let message = carillon.wait_state(&id, "delivered").await;
    assert_eq!(message["deliveries"].as_array().unwrap().len(), 20);
    let mut reached: Vec<String> = carillon.received().into_iter().map(|line| line.to).collect();
    let mut expected = to.clone();
    reached.sort();
    expected.sort();
    assert_eq!(reached, expected);
}

async fn a_message_that_waits_is_cancelled(carillon: &Carillon) {
    let due = time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(3);
    let due = due.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({ "to": [carillon.number(0, 4), carillon.number(1, 5)], "text": "never", "send_at": due });
    let answer: Value = carillon.post(&body).send().await.unwrap().json().await.unwrap();
    let id = answer["id"].as_str().unwrap().to_owned();
    carillon.wait_state(&id, "scheduled").await;
    for _ in 0..2 {
        assert_eq!(carillon.cancel(&id).await, 202, "asked again, it is the same");
    }
    let message = carillon.wait_state(&id, "cancelled").await;
    assert_eq!(message["counts"], json!({ "cancelled": 2 }), "{message:#}");
    assert_eq!(carillon.cancel(&id).await, 409, "nothing of it waits");
    assert_eq!(carillon.cancel("msg_0123456789abcdef0123456789abcdef").await, 404);
    assert!(carillon.received().iter().all(|line| line.text.as_deref() != Some("never")));
}

async fn a_message_waits_for_its_time(column: Column) {
    let place = column.place();
    let mut carillon = place.start().await;
    let due = time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(6);
    let due = due.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({ "to": carillon.number(0, 3), "text": "later", "send_at": due });
    let answer: Value = carillon.post(&body).send().await.unwrap().json().await.unwrap();
    let id = answer["id"].as_str().unwrap().to_owned();
    let message = carillon.wait_state(&id, "scheduled").await;
    assert!(step(&message, "scheduled")["due"].is_string());
    carillon.kill();
    let carillon = place.start().await;
    let message = carillon.wait_state(&id, "delivered").await;
    let leased = step(&message, "leased")["at"].as_str().unwrap().to_owned();
    let parse = |t: &str| time::OffsetDateTime::parse(t, &time::format_description::well_known::Rfc3339).unwrap();
    assert!(parse(&leased) >= parse(&due), "leased {leased}, due {due}");
}

async fn receipts_of_a_stopped_process_come_after_its_restart(column: Column) {
    let place = column.place();
    // Time enough to see that it was submitted, and to kill.
    let settings = "[demo]\nreceipt_ms_min = 10000\nreceipt_ms_max = 10000\n";
    let mut carillon = place.start_with(settings).await;
    let id = carillon.send(&carillon.number(0, 9), "slow receipt").await;
    carillon.wait_state(&id, "submitted").await;
    carillon.kill();
    let carillon = place.start_with(settings).await;
    carillon.wait_state(&id, "delivered").await;
    assert_eq!(carillon.received().len(), 1);
}
