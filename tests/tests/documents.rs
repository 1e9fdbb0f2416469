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

/// Names in backticks that read like a test's, four words or more, of the section on invariants.
fn tests_named(text: &str) -> Vec<&str> {
    let section = text.split("\n## ").find(|section| section.starts_with("Invariants")).expect("a section on invariants");
    let words = section.split('`').skip(1).step_by(2).map(|quoted| quoted.rsplit(' ').next().unwrap_or(quoted));
    words.filter(|word| word.matches('_').count() >= 3 && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')).collect()
}

#[test]
fn each_test_that_holds_an_invariant_exists() {
    let mut code = String::new();
    for folder in ["shared", "functions", "tests"] {
        sources(&root().join(folder), &mut code);
    }
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let named = tests_named(&text);
    let missing: Vec<&&str> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names tests that are not there: {missing:?}");
    for invariant in 1..=9 {
        assert!(text.contains(&format!("\n**{invariant}. ")), "invariant {invariant} is not in ARCHITECTURE.md");
    }
    assert!(named.len() > 60, "only {} tests are named", named.len());
}
