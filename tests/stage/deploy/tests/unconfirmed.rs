//! docs/deploy.md lists what a stage cannot confirm, and lists it as the deployer knows it.

use std::collections::BTreeSet;

#[test]
fn the_document_lists_the_types_that_only_aws_can_confirm() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/deploy.md");
    let text = std::fs::read_to_string(document).expect("docs/deploy.md");
    let (_, section) = text.split_once("## What only AWS can confirm").expect("its section");
    let rows = section.lines().filter_map(|line| line.trim().strip_prefix("| `")?.split_once("` | "));
    let listed: BTreeSet<(&str, &str)> = rows.map(|(kind, why)| (kind, why.trim_end_matches(" |"))).collect();
    let known: BTreeSet<(&str, &str)> = stage_deploy::ACCEPTED.iter().chain(stage_deploy::INERT).copied().collect();
    assert_eq!(listed, known, "`target/debug/stage unconfirmed` prints them");
}
