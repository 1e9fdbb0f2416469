//! What the documents say of the code is there.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).expect("a source file"));
        }
    }
}

/// Names in backticks that read like a test's, four words or more, of one section.
fn tests_named<'a>(text: &'a str, section: &str) -> Vec<&'a str> {
    let section = text.split("\n## ").find(|held| held.starts_with(section)).expect("the section");
    let words = section.split('`').skip(1).step_by(2).map(|quoted| quoted.rsplit(' ').next().unwrap_or(quoted));
    words.filter(|word| word.matches('_').count() >= 3 && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

/// Those that are in no source file.
fn missing<'a>(named: &[&'a str]) -> Vec<&'a str> {
    let mut code = String::new();
    for folder in ["shared", "functions", "tests"] {
        sources(&root().join(folder), &mut code);
    }
    named.iter().filter(|name| !code.contains(&format!("fn {name}("))).copied().collect()
}

#[test]
fn each_test_that_holds_an_invariant_exists() {
    let text = read("ARCHITECTURE.md");
    let named = tests_named(&text, "Invariants");
    assert_eq!(missing(&named), [""; 0], "ARCHITECTURE.md names tests that are not there");
    for invariant in 1..=9 {
        assert!(text.contains(&format!("\n**{invariant}. ")), "invariant {invariant} is not in ARCHITECTURE.md");
    }
    assert!(named.len() > 60, "only {} tests are named", named.len());
}

#[test]
fn each_failure_of_a_database_has_a_test_that_exists() {
    let text = read("docs/databases.md");
    const SECTION: &str = "When something fails in the middle";
    let section = text.split("\n## ").find(|held| held.starts_with(SECTION)).expect("the section");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| failure")).collect();
    assert_eq!(rows.len(), 10, "the failures that are promised");
    for row in rows {
        assert!(row.rsplit('|').nth(1).is_some_and(|tests| tests.matches('`').count() >= 2), "no test is named for {row}");
    }
    assert_eq!(missing(&tests_named(&text, SECTION)), [""; 0], "docs/databases.md names tests that are not there");
}

/// Code that stands on its own in a document, with the file that it says it is from.
fn snippets(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("```rust\n").skip(1).zip(text.split("```rust\n"));
    blocks
        .map(|(block, before)| {
            let from =
                before.trim_end().rsplit('\n').next().and_then(|line| line.strip_prefix("From `")?.strip_suffix("`:")).expect("where it is from");
            (from, block.split("```").next().unwrap_or_default())
        })
        .collect()
}

/// Lines without their indentation.
fn lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn the_code_that_applications_are_shown_is_that_of_the_stages_application() {
    let text = read("docs/applications.md");
    let snippets = snippets(&text);
    assert!(snippets.len() >= 5, "only {} were found", snippets.len());
    for (from, code) in snippets {
        assert!(lines(&read(from)).contains(&lines(code)), "docs/applications.md shows what is not in {from}:\n{code}");
    }
    assert_eq!(missing(&tests_named(&text, "How it is tested")), [""; 0], "docs/applications.md names tests that are not there");
}
