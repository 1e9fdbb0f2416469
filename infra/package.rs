//! The build script of every function: what is shipped has no tables for unwinding, see package.ld, and stands at a fixed address, as a Go program
//! does: without the relocations it is a twelfth smaller, and nothing is to be relocated at a cold start. Stack, heap and libc stay randomised.
//!
//! It is said here and not among the flags of `package.sh`, since those go to each crate, and their text into each crate's hash: with a path of this
//! machine in it, no two folders would build the same bytes.

use std::env::var;

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/package.ld");
    println!("cargo::rerun-if-changed={script}");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
