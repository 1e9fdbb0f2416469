//! scale-down in the in-memory world, after scale-up has raised everything.

mod disposable;
mod restore;
mod scene;
mod trouble;
