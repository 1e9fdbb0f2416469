//! scale-up in the in-memory world: the loop, from trigger to what stands in the end.

mod capacity;
mod scene;
mod trouble;
