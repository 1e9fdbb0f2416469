//! Secrets: a disposable one from creation to removal, and a replica that is cut loose.

use relight::plan;
use relight::ports::{CallError, DisposableName, Removal, SecretName, Secrets, Stage, Why};
use relight::secret::SecretValue;

use super::{PLAN, eventually, run};

const FIRST: &str = "00000000-aaaa-4aaa-8aaa-000000000001";
const SECOND: &str = "00000000-aaaa-4aaa-8aaa-000000000002";

fn value(password: &str) -> SecretValue {
    // Keys that Relight does not know, in an order that is not the alphabet's.
    let text = format!(r#"{{"zone":"a","engine":"postgres","host":"h","port":5432,"username":"u","password":"{password}","list":[1,2.5,null]}}"#);
    SecretValue::parse(&text).expect("an object")
}

async fn text<S: Secrets>(secrets: &S, secret: &str, stage: Stage) -> Option<String> {
    secrets.value(secret, stage).await.expect("a look").map(|value| value.to_json().to_string())
}

pub(crate) async fn disposable_secrets<S: Secrets>(secrets: &S) {
    let name = DisposableName::of(PLAN, &run(), "shop/orders/app");
    assert_eq!(secrets.describe(name.as_str()).await.expect("a look"), None);
    assert_eq!(text(secrets, name.as_str(), Stage::Current).await, None);
    assert_eq!(secrets.disposables(PLAN).await.expect("a look"), []);
    let missing = secrets.put_disposable(&name, FIRST, &value("one")).await;
    assert!(matches!(&missing, Err(CallError { why: Why::NotFound(_), .. })), "{missing:?}");

    // Created once, whoever asks again.
    for _ in 0..2 {
        secrets.create_disposable(&name, FIRST, &value("one")).await.expect("created");
    }
    let made = secrets.describe(name.as_str()).await.expect("a look").expect("there");
    assert_eq!((made.name.as_str(), made.replica_of.as_ref(), made.version_at(Stage::Current)), (name.as_str(), None, Some(FIRST)));
    assert_eq!(text(secrets, name.as_str(), Stage::Current).await.as_deref(), Some(value("one").to_json().as_str()), "every key, in its order");
    assert_eq!(text(secrets, &made.arn, Stage::Current).await.as_deref(), Some(value("one").to_json().as_str()), "by its ARN as well");
    assert_eq!(text(secrets, name.as_str(), Stage::Pending).await, None);
    assert_eq!(secrets.disposables(PLAN).await.expect("a look"), std::slice::from_ref(&name));
    assert_eq!(secrets.disposables("another").await.expect("a look"), []);

    // A token names a version: the same again is no error, another value under it is.
    for _ in 0..2 {
        secrets.put_disposable(&name, SECOND, &value("two")).await.expect("put");
    }
    assert!(secrets.put_disposable(&name, SECOND, &value("three")).await.is_err());
    let changed = secrets.describe(name.as_str()).await.expect("a look").expect("there");
    assert_eq!((changed.version_at(Stage::Current), changed.version_at(Stage::Previous)), (Some(SECOND), Some(FIRST)));
    assert_eq!(text(secrets, name.as_str(), Stage::Previous).await.as_deref(), Some(value("one").to_json().as_str()));

    assert_eq!(secrets.remove_disposable(&name).await.expect("begun"), Removal::Underway);
    eventually("the disposable secret gone", async || match secrets.remove_disposable(&name).await.expect("taken") {
        Removal::Gone => Ok(()),
        Removal::Underway => Err("underway".to_owned()),
    })
    .await;
    assert_eq!(secrets.describe(name.as_str()).await.expect("a look"), None);
    assert_eq!(secrets.disposables(PLAN).await.expect("a look"), []);
    let passwords = (secrets.new_password().await.expect("one"), secrets.new_password().await.expect("another"));
    assert_ne!(*passwords.0, *passwords.1);
}

pub(crate) async fn replica_secret<S: Secrets>(secrets: &S, secret: &plan::Secret) {
    let name = SecretName::of(secret);
    let look = async || secrets.describe(name.as_str()).await.expect("a look").expect("the replica is there");
    let before = eventually("the replica with its value", async || {
        let seen = secrets.describe(name.as_str()).await.expect("a look").ok_or("not there")?;
        if seen.version_at(Stage::Current).is_some() { Ok(seen) } else { Err(format!("{seen:?}")) }
    })
    .await;
    assert!(before.replica_of.is_some(), "{before:?}");
    let held = secrets.value(name.as_str(), Stage::Current).await.expect("a look").expect("a value");
    assert!(held.username().is_ok() && held.to_json().contains(r#""kept":{"as":"it is"}"#));

    // A replica takes no value.
    let refused = secrets.put(&name, SECOND, &value("new")).await;
    assert!(matches!(&refused, Err(CallError { why: Why::State(_), .. })), "{refused:?}");
    assert_eq!(look().await, before);

    // Cut loose it keeps its ARN and its value; cut loose again it is no error.
    for _ in 0..2 {
        secrets.stop_replication(&name).await.expect("cut loose");
    }
    let alone = look().await;
    assert_eq!((alone.arn.as_str(), alone.replica_of.as_ref(), &alone.stages), (before.arn.as_str(), None, &before.stages));
    assert!(secrets.value(name.as_str(), Stage::Current).await.expect("a look").is_some_and(|value| value == held));

    secrets.put(&name, SECOND, &value("new")).await.expect("put");
    let changed = look().await;
    assert_eq!(changed.version_at(Stage::Current), Some(SECOND));
    assert_eq!(changed.version_at(Stage::Previous), before.version_at(Stage::Current));
    assert_eq!(text(secrets, name.as_str(), Stage::Current).await.as_deref(), Some(value("new").to_json().as_str()));

    let nobody = SecretName::of(&plan::Secret { name: "conformance/nobody".to_owned(), ..secret.clone() });
    for refused in [secrets.stop_replication(&nobody).await, secrets.put(&nobody, SECOND, &value("new")).await] {
        assert!(matches!(&refused, Err(CallError { why: Why::NotFound(_), .. })), "{refused:?}");
    }
}
