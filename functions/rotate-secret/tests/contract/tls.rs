//! The `ssl` key: each form that it may have, against each kind of server, through all four steps.

use relight_world::login::Offers;
use serde_json::{Value, json};

use crate::common::HOST;
use crate::common::rotation::{ALL, APP, BATCH, Rotation};

/// The forms, and whether a rotation ends at a server with TLS and plaintext, without TLS, without plaintext.
fn forms() -> Vec<(Option<Value>, [bool; 3])> {
    let (required, off, either) = ([true, false, true], [true, true, false], [true, true, true]);
    vec![
        (Some(json!(true)), required),
        (Some(json!("true")), required),
        (Some(json!("TRUE")), required),
        (Some(json!(false)), off),
        (Some(json!("false")), off),
        (Some(json!("False")), off),
        (None, either),
        (Some(json!("")), either),
        (Some(json!("require")), either),
        (Some(json!(1)), either),
        (Some(json!(null)), either),
    ]
}

#[tokio::test(start_paused = true)]
async fn ssl_decides_in_each_of_its_forms_and_stays_as_it_was_written() {
    for secret in [APP, BATCH] {
        for (ssl, ends) in forms() {
            for (offers, ends) in [Offers::Both, Offers::PlaintextOnly, Offers::TlsOnly].into_iter().zip(ends) {
                let rotation = Rotation::of(secret).await;
                if let Some(ssl) = &ssl {
                    rotation.edit_current(|fields| drop(fields.insert("ssl".to_owned(), ssl.clone())));
                }
                rotation.scene.world.login.set_offers(HOST, offers);
                let mut done = true;
                for step in ALL {
                    done = done && rotation.take(step).await.is_ok();
                }
                assert_eq!(done, ends, "{secret}: ssl {ssl:?}, a server that offers {offers:?}");
                let kept: Value = serde_json::from_str(&rotation.current().to_json()).expect("an object");
                assert_eq!(kept.get("ssl"), ssl.as_ref());
            }
        }
    }
}
