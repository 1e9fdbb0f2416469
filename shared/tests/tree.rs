//! What the dependency tree may hold. deny.toml says the same to cargo-deny; this test needs nothing but cargo.
//!
//! An `aws-sdk-*` crate whose default features come on again brings hyper 0.14 and rustls 0.21 beside their successors, and
//! a cold start pays for both. Nobody sees that in a diff, so it is looked for in Cargo.lock.

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;

/// Another TLS library or another cryptography than rustls over ring.
const NEVER: [&str; 10] =
    ["aws-lc-fips-sys", "aws-lc-rs", "aws-lc-sys", "boring", "hyper-tls", "native-tls", "openssl", "openssl-sys", "s2n-tls", "tokio-native-tls"];

/// The one TLS stack, with the beginning of the version that it has.
const STACK: [(&str, &str); 5] = [("rustls", "0.23."), ("tokio-rustls", "0.26."), ("hyper", "1."), ("h2", "0.4."), ("ring", "0.17.")];

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// What of a Cargo.lock is not the one TLS stack.
fn intruders(lock: &str) -> Vec<String> {
    let lock: Lock = toml::from_str(lock).expect("a Cargo.lock");
    let fine = |package: &&Package| {
        let stack = STACK.iter().find(|(name, _)| *name == package.name);
        !NEVER.contains(&package.name.as_str()) && stack.is_none_or(|(_, version)| package.version.starts_with(version))
    };
    lock.package.iter().filter(|package| !fine(package)).map(|package| format!("{} {}", package.name, package.version)).collect()
}

#[test]
fn no_second_tls_stack_enters_the_tree() {
    let lock = include_str!("../../Cargo.lock");
    assert_eq!(intruders(lock), Vec::<String>::new(), "an SDK crate with default features? every one says default-features = false");
    // An empty or moved file would hold nothing wrong either.
    assert!(lock.contains("name = \"rustls\"") && lock.contains("name = \"aws-sdk-rds\""));
}

#[test]
fn each_intruder_is_named() {
    let package = |name: &str, version: &str| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
    for (name, version) in
        [("rustls", "0.21.12"), ("hyper", "0.14.32"), ("h2", "0.3.26"), ("openssl", "0.10.73"), ("native-tls", "0.2.14"), ("aws-lc-rs", "1.13.3")]
    {
        let lock = package("rustls", "0.23.46") + &package(name, version);
        assert_eq!(intruders(&lock), [format!("{name} {version}")]);
    }
}

/// Names of all crates that `relight` is compiled with, tests and build scripts aside.
fn tree(features: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "relight", "--edges", "normal", "--no-default-features", "--features", features])
        .args(["--prefix", "none", "--format", "{p}", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

fn reaches_the_world(name: &str) -> bool {
    let prefixes = ["aws-", "hyper", "rustls", "tokio-postgres", "hickory"];
    name == "lambda_runtime" || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

#[test]
fn the_core_without_features_knows_no_sdk_and_no_network() {
    let core = tree("");
    assert!(core.contains("relight") && core.contains("jiff"), "{core:?}");
    assert_eq!(core.iter().filter(|name| reaches_the_world(name)).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_feature_brings_its_own_services_and_no_others() {
    let sdks = |features: &str| tree(features).into_iter().filter(|name| name.starts_with("aws-sdk-")).collect::<Vec<_>>();
    assert_eq!(sdks("database"), ["aws-sdk-cloudwatch", "aws-sdk-dynamodb", "aws-sdk-rds", "aws-sdk-sns"]);
    // A person's machine alone assumes roles; no function carries STS.
    assert_eq!(sdks("profiles"), ["aws-sdk-dynamodb", "aws-sdk-sns", "aws-sdk-sts"]);
    assert_eq!(sdks("login"), Vec::<String>::new());
}
