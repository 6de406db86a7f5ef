//! Client models: built-in ones, a tenant's own, and what a change does to devices.

use serde_json::json;

use crate::house::House;

#[tokio::test]
async fn a_tenant_has_models_of_its_own_beside_the_built_in_ones() {
    let house = House::open().await;
    let all = house.ask("GET", "/v1/models", None).await.good();
    let names: Vec<&str> = all["models"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"nokia") && names.contains(&"sony-ericsson"), "{names:?}");
    let own = json!({ "push": true, "ota": true, "san": "ds-1.1", "resources": { "card": { "name": "Card" } } });
    let reply = house.ask("PUT", "/v1/models/own", own).await;
    assert_eq!((reply.status, reply.good()["built_in"].clone()), (201, json!(false)));
    house
        .ask_with("PUT", "/v1/models/own", &[("if-match", "\"x\"")], json!({ "push": true, "ota": false }))
        .await
        .refused(412, "changed");
    house.raw("blue", "GET", "/v1/models/own", &[], String::new()).await.refused(404, "not-found");
    // One in place of a built-in one, until it is removed.
    house.ask("PUT", "/v1/models/nokia", json!({ "push": false, "ota": false })).await.good();
    assert_eq!(house.ask("GET", "/v1/models/nokia", None).await.good()["push"], false);
    assert_eq!(house.ask("DELETE", "/v1/models/nokia", None).await.status, 204);
    assert_eq!(house.ask("GET", "/v1/models/nokia", None).await.good()["push"], true);
    house.ask("DELETE", "/v1/models/nokia", None).await.refused(404, "not-found");
    house.settle("ann@acme.example", &[]).await;
    let device = json!({ "account": "ann@acme.example", "model": "own" });
    house.ask("PUT", "/v1/devices/phone", device).await.good();
    house.ask("DELETE", "/v1/models/own", None).await.refused(409, "taken");
    house
        .ask("PUT", "/v1/models/own", json!({ "push": true, "ota": true, "dcs": 8 }))
        .await
        .refused(422, "invalid-field");
}

#[tokio::test]
async fn a_model_without_push_disables_its_devices() {
    let house = House::open().await;
    house.ask("PUT", "/v1/models/own", json!({ "push": true, "ota": true })).await.good();
    house.settle("ann@acme.example", &[("other", json!({}))]).await;
    for id in ["one", "two"] {
        let device = json!({ "account": "ann@acme.example", "model": "own" });
        house.ask("PUT", &format!("/v1/devices/{id}"), device).await.good();
    }
    let before = house.touched().await.len();
    let answer = house.ask("PUT", "/v1/models/own", json!({ "push": false, "ota": true })).await.good();
    assert_eq!(answer["disabled"], 2);
    for (id, state, reason) in
        [("one", "disabled", "policy"), ("two", "disabled", "policy"), ("other", "enabled", "no_route")]
    {
        let device = house.ask("GET", &format!("/v1/devices/{id}"), None).await.good();
        assert_eq!((&device["state"], &device["reason"]), (&json!(state), &json!(reason)), "{id}");
    }
    assert_eq!(house.touched().await.len(), before + 2);
    house.ask("POST", "/v1/devices/one:enable", None).await.refused(409, "push_not_supported");
    house.ask("PUT", "/v1/models/own", json!({ "push": true, "ota": true })).await.good();
    house.ask("POST", "/v1/devices/one:enable", None).await.good();
}
