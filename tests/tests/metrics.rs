//! `/metrics` and `/openrpc.json`: who may read them, and that each number counts what it says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prosed_tests::hostile::{Hostile, Served};
use prosed_tests::http::{bearer, request, request_unix};
use prosed_tests::metrics::{CONTENT_TYPE, Scrape};
use prosed_tests::proxy::Proxy;
use prosed_tests::server::Setup;
use prosed_tests::xml::find;
use prosed_tests::{Daemon, Kind, PATIENCE, Server, Ui};
use serde_json::{Value, json};

const ME: &str = "me@prosed.test";

/// Scrapes until it fits: what a peer sees and what is counted are not one moment.
async fn when(daemon: &Daemon, what: &str, fits: impl Fn(&Scrape) -> bool) -> Scrape {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let scrape = Scrape::of(daemon).await;
        if fits(&scrape) {
            return scrape;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: {:#?}", scrape.families);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Accepts the daemon, and serves it a roster of one.
async fn serve(server: &Hostile) -> Served {
    server.accept_session("me", "secret").await.serve(|stanza| {
        let items =
            "<query xmlns='jabber:iq:roster'><item jid='alice@prosed.test' subscription='both'/></query>";
        find(stanza, "query", "jabber:iq:roster").map(|_| items.to_owned())
    })
}

#[tokio::test]
async fn both_are_served_at_every_door_to_those_who_may_enter() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let token = bearer(&daemon);
    let ui = Ui::connect(&daemon).await;
    let described = ui.call("rpc.discover", json!({})).await.expect("a document");
    let authorized = [("authorization", token.as_str())];
    let json = [("authorization", token.as_str()), ("content-type", "application/json")];
    for (path, content_type) in [("/metrics", CONTENT_TYPE), ("/openrpc.json", "application/json")] {
        let refused = request(&daemon, "GET", path, &[], "").await.expect("an answer");
        assert_eq!(refused.status, 401, "{path}");
        for evil in [("host", "evil.example"), ("origin", "http://evil.example")] {
            let headers = [("authorization", token.as_str()), evil];
            let answer = request(&daemon, "GET", path, &headers, "").await;
            assert!(answer.is_err(), "{path} {evil:?}: {answer:?}");
        }
        let whole = request(&daemon, "GET", path, &authorized, "").await.expect("an answer");
        let here = request_unix(&daemon, "GET", path, &[], "").await.expect("an answer");
        for answer in [whole, here] {
            assert_eq!(
                (answer.status.as_u16(), answer.header("content-type")),
                (200, content_type),
                "{path}"
            );
            match path {
                "/metrics" => drop(Scrape::parse(&answer.body).await),
                _ => assert_eq!(answer.json(), described),
            }
        }
        let head = request(&daemon, "HEAD", path, &authorized, "").await.expect("an answer");
        assert_eq!((head.status.as_u16(), head.header("content-type")), (200, content_type), "{path}");
        assert!(head.body.is_empty(), "{path}");
        for method in ["POST", "PUT", "DELETE"] {
            let refused = request(&daemon, method, path, &json, "{}").await.expect("an answer");
            assert_eq!(
                (refused.status.as_u16(), refused.header("allow")),
                (405, "GET,HEAD"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn names_are_as_prometheus_wants_them() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let ui = Ui::connect(&daemon).await;
    ui.call("get_version", json!({})).await.expect("an answer");
    let scrape = Scrape::of(&daemon).await;
    assert!(scrape.families.len() >= 25, "{}", scrape.families.len());
    for family in &scrape.families {
        let text = |field: &str| family[field].as_str().unwrap_or_default();
        let (name, kind, unit) = (text("name"), text("type"), text("unit"));
        assert!(name.starts_with("prosed_") || name.starts_with("process_"), "{name}");
        assert!(text("help").ends_with('.') && text("help").len() > 10, "{family}");
        assert!(["counter", "gauge", "info"].contains(&kind), "{family}");
        let names_unit = ["bytes", "seconds"].iter().find(|unit| name.ends_with(&format!("_{unit}")));
        assert_eq!(names_unit.copied().unwrap_or_default(), unit, "{family}");
        assert!(!family["samples"].as_array().expect("samples").is_empty(), "{family}");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64();
    let started = scrape.value("process_start_time_seconds", &[]);
    assert!(started <= now && started > now - 60.0, "{started} {now}");
    let memory = scrape.value("process_resident_memory_bytes", &[]);
    assert!((1e6..1e9).contains(&memory), "{memory}");
    assert!(scrape.value("process_open_fds", &[]) >= 5.0);
    assert!(scrape.value("process_cpu_seconds_total", &[]) > 0.0);
    assert_eq!(scrape.value("prosed_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    // What has not happened is zero, and not absent.
    assert_eq!(scrape.value("prosed_login_failures_total", &[("kind", "tlsFailed")]), 0.0);
    assert_eq!(scrape.value("prosed_events_total", &[("event", "rosterLoaded")]), 0.0);
}

#[tokio::test]
async fn what_happens_at_the_doors_is_counted() {
    let daemon = Daemon::start(Daemon::setup()).await;
    let token = bearer(&daemon);
    let json = ("content-type", "application/json");
    let bearer = ("authorization", token.as_str());
    for (headers, reason) in [
        (&[json, ("host", "evil.example")][..], "wrongHost"),
        (&[json, bearer, ("origin", "null")], "wrongOrigin"),
        (&[json, bearer, ("sec-fetch-site", "cross-site")], "foreignPage"),
        (&[json], "wrongToken"),
        (&[bearer, ("content-type", "text/plain")], "notJson"),
    ] {
        let answer = request(&daemon, "POST", "/rpc", headers, "{}").await;
        assert_eq!(answer.is_ok(), ["wrongToken", "notJson"].contains(&reason), "{answer:?}");
        let scrape = Scrape::of(&daemon).await;
        assert_eq!(scrape.value("prosed_requests_refused_total", &[("reason", reason)]), 1.0);
    }

    let ui = Ui::connect(&daemon).await;
    ui.subscribe(json!({})).await;
    ui.call("subscribe_rosterLoaded", json!({})).await.expect("subscribed");
    ui.call("get_version", json!({})).await.expect("an answer");
    for (method, params) in [
        ("get_account", json!({})),
        ("get_account", json!({ "account": "@" })),
        ("get_account", json!({ "acount": "x" })),
        ("no_such_method", json!({})),
        ("nor_this", json!({})),
        ("subscribe", json!({ "since": 5 })),
    ] {
        ui.call(method, params).await.expect_err("it makes no sense");
    }
    let scrape = Scrape::of(&daemon).await;
    let calls = |method, outcome| {
        scrape.value("prosed_calls_total", &[("method", method), ("outcome", outcome)]) as u64
    };
    assert_eq!(calls("get_version", "ok"), 1);
    assert_eq!((calls("subscribe", "ok"), calls("subscribe", "cursorExpired")), (1, 1));
    assert_eq!(calls("subscribe_rosterLoaded", "ok"), 1);
    assert_eq!(calls("get_account", "accountUnknown"), 1);
    assert_eq!((calls("get_account", "invalidJid"), calls("get_account", "invalidParams")), (1, 1));
    assert_eq!(calls("unknown", "methodNotFound"), 2);
    assert_eq!(
        (scrape.value("prosed_websockets", &[]), scrape.value("prosed_subscriptions", &[])),
        (1.0, 2.0)
    );
    drop(ui);
    when(&daemon, "all are gone", |scrape| {
        scrape.value("prosed_websockets", &[]) == 0.0 && scrape.value("prosed_subscriptions", &[]) == 0.0
    })
    .await;
}

#[tokio::test]
async fn what_happens_with_the_server_is_counted() {
    let server = Hostile::listen().await;
    let setup = Daemon::setup().trust_ca(&server.ca_pem).environment("PROSED_PROVOKE", "1");
    let daemon = Daemon::start(setup).await;
    let ui = Ui::watching(&daemon).await;
    let sessions = |scrape: &Scrape| {
        let states = ["connecting", "online", "suspended", "offline", "failed"];
        states.map(|state| scrape.value("prosed_sessions", &[("state", state)]) as i64)
    };
    assert_eq!(sessions(&Scrape::of(&daemon).await), [0; 5]);

    // A wrong password.
    let login = ui.send_call("login", server.login_starttls("me", "wrong")).await;
    let mut peer = server.accept_starttls().await.expect("STARTTLS");
    peer.authenticate(&prosed_tests::hostile::Sasl::new("me", "secret")).await.expect_err("it is wrong");
    ui.answer(&login).await.expect_err("refused");
    let scrape = Scrape::of(&daemon).await;
    assert_eq!(scrape.value("prosed_login_failures_total", &[("kind", "notAuthorized")]), 1.0);
    assert_eq!(scrape.value("prosed_stanzas_received_total", &[("kind", "iq")]), 0.0);

    // The right one.
    let login = ui.send_call("login", server.login_starttls("me", "secret")).await;
    let served = serve(&server).await;
    ui.answer(&login).await.expect("logged in");
    ui.event("rosterLoaded", |_| true).await;
    served
        .send("<presence from='alice@prosed.test/x'/><message from='alice@prosed.test/x'/>")
        .await
        .expect("sent");
    served.ping().await;
    let scrape = Scrape::of(&daemon).await;
    assert_eq!(sessions(&scrape), [0, 1, 0, 0, 0]);
    for kind in ["iq", "presence"] {
        assert!(scrape.value("prosed_stanzas_sent_total", &[("kind", kind)]) >= 1.0, "{kind}");
    }
    for kind in ["iq", "presence", "message"] {
        assert!(scrape.value("prosed_stanzas_received_total", &[("kind", kind)]) >= 1.0, "{kind}");
    }
    let told = served.received().iter().filter(|stanza| stanza.name() == "iq").count();
    assert_eq!(scrape.value("prosed_stanzas_sent_total", &[("kind", "iq")]), told as f64);
    assert!(scrape.value("prosed_cache_writes_total", &[]) >= 1.0);
    assert!(scrape.value("prosed_cache_size_bytes", &[("part", "rows")]) > 0.0);
    assert_eq!(scrape.value("prosed_cache_write_failures_total", &[]), 0.0);

    // The log is what the subscriber was told.
    let events = ui.events();
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).count() as f64;
    for name in ["accountChanged", "contactChanged", "rosterLoaded"] {
        assert_eq!(scrape.value("prosed_events_total", &[("event", name)]), named(name), "{name}");
    }
    let seq = events.last().and_then(|event| event["seq"].as_f64()).expect("an event");
    assert_eq!(scrape.value("prosed_event_log_seq", &[]), seq);
    assert_eq!(scrape.value("prosed_event_log_events", &[]), events.len() as f64);
    let bytes: usize = events.iter().map(|event| event.to_string().len()).sum();
    assert_eq!(scrape.value("prosed_event_log_bytes", &[]), bytes as f64);
    assert_eq!(scrape.value("prosed_subscription_lag_events", &[]), 0.0);

    // The cache is written behind, some two seconds later.
    let flushed = async {
        while Scrape::of(&daemon).await.value("prosed_cache_flushes_total", &[]) < 1.0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, flushed).await.expect("a flush");

    // The connection goes, and comes back without its session: this server keeps none.
    drop(served);
    ui.event("accountChanged", |event| event["info"]["state"] == "suspended").await;
    let scrape = Scrape::of(&daemon).await;
    assert_eq!(scrape.value("prosed_connections_lost_total", &[]), 1.0);
    assert_eq!(sessions(&scrape), [0, 0, 1, 0, 0]);
    ui.forget_received();
    let served = serve(&server).await;
    ui.event("accountChanged", |event| event["info"]["state"] == "online").await;
    let scrape = Scrape::of(&daemon).await;
    let reconnects = |outcome| scrape.value("prosed_reconnects_total", &[("outcome", outcome)]);
    assert_eq!((reconnects("new"), reconnects("resumed")), (1.0, 0.0));
    assert_eq!(sessions(&scrape), [0, 1, 0, 0, 0]);

    // A bug brings the account down.
    let panic = json!({ "availability": "available", "status": "panic now" });
    ui.send_call("set_presence", panic).await;
    let _again = serve(&server).await;
    let online = |event: &Value| event["info"]["state"] == "online";
    ui.event("accountChanged", online).await;
    drop(served);
    let scrape = Scrape::of(&daemon).await;
    assert_eq!(scrape.value("prosed_account_crashes_total", &[]), 1.0);
    assert_eq!(sessions(&scrape), [0, 1, 0, 0, 0], "the one that crashed counts no more");

    ui.call("logout", json!({ "account": ME })).await.expect("out");
    assert_eq!(sessions(&Scrape::of(&daemon).await), [0, 0, 0, 1, 0]);
    ui.call("logout", json!({ "account": ME, "forget": true })).await.expect("forgotten");
    when(&daemon, "it is no account any more", |scrape| sessions(scrape) == [0; 5]).await;
}

#[tokio::test]
async fn a_session_that_is_resumed_is_told_from_one_begun_anew() {
    let server = Server::start(Setup::new(Kind::Prosody).friends("me", "alice")).await;
    let proxy = Proxy::before(&server).await;
    let daemon = Daemon::start(Daemon::setup().trust(&server)).await;
    let ui = Ui::watching(&daemon).await;
    ui.call("login", proxy.login(&server, "me")).await.expect("logged in");
    ui.forget_received();
    proxy.cut();
    for state in ["suspended", "online"] {
        ui.event("accountChanged", |event| event["info"]["state"] == state).await;
    }
    let scrape = Scrape::of(&daemon).await;
    let reconnects = |outcome| scrape.value("prosed_reconnects_total", &[("outcome", outcome)]);
    assert_eq!((reconnects("resumed"), reconnects("new")), (1.0, 0.0));
}
