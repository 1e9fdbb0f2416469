//! Everything as early as what it needs allows, and no more than a handful at a time.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// An emulator is one process: more calls at a time wait inside of it.
const AT_ONCE: usize = 8;

/// What must be done before each.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// The names of a circle, or of what hangs on one; empty where there is an order.
pub(crate) fn circle(graph: &Graph) -> Vec<String> {
    let mut left = graph.clone();
    loop {
        let free: Vec<String> = left.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| name.clone()).collect();
        if free.is_empty() {
            return left.into_keys().collect();
        }
        for name in &free {
            left.remove(name);
        }
        for needs in left.values_mut() {
            needs.retain(|need| !free.contains(need));
        }
    }
}

/// The order in which things are taken away: what needs another goes before it.
pub(crate) fn reversed(graph: &Graph) -> Graph {
    let mut reversed: Graph = graph.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
    for (name, needs) in graph {
        for need in needs {
            if let Some(before) = reversed.get_mut(need) {
                before.insert(name.clone());
            }
        }
    }
    reversed
}

/// Does the work of each name once what it needs is done. After a failure nothing new begins, what is under way ends, and the first error is
/// returned: whoever keeps a record of what was made then has all of it.
pub(crate) async fn in_order<F, E>(graph: &Graph, work: impl Fn(String) -> F) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let mut waiting = graph.clone();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        if failure.is_none() {
            let ready = waiting.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| name.clone());
            for name in ready.take(AT_ONCE - running.len()).collect::<Vec<_>>() {
                waiting.remove(&name);
                let done = work(name.clone());
                running.push(async move { (name, done.await) });
            }
        }
        match running.next().await {
            Some((name, Ok(()))) => {
                for needs in waiting.values_mut() {
                    needs.remove(&name);
                }
            }
            Some((_, Err(error))) => {
                failure.get_or_insert(error);
            }
            None => return failure.map_or(Ok(()), Err),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        edges.iter().map(|(name, needs)| ((*name).to_owned(), needs.iter().map(|need| (*need).to_owned()).collect())).collect()
    }

    async fn done(graph: &Graph, fails: &str) -> (Vec<String>, Result<(), String>) {
        let log = RefCell::new(Vec::new());
        let work = |name: String| {
            let log = &log;
            async move {
                tokio::task::yield_now().await;
                log.borrow_mut().push(name.clone());
                if name == fails { Err(name) } else { Ok(()) }
            }
        };
        let result = in_order(graph, work).await;
        (log.into_inner(), result)
    }

    #[tokio::test]
    async fn what_is_needed_comes_first() {
        let graph = graph(&[("function", &["role", "topic"]), ("role", &["table"]), ("table", &[]), ("topic", &[])]);
        let (log, result) = done(&graph, "").await;
        let place = |name: &str| log.iter().position(|done| done == name).unwrap();
        assert!(result.is_ok() && log.len() == 4);
        assert!(place("table") < place("role") && place("role") < place("function") && place("topic") < place("function"), "{log:?}");
        let (back, _) = done(&reversed(&graph), "").await;
        let place = |name: &str| back.iter().position(|done| done == name).unwrap();
        assert!(place("function") < place("role") && place("role") < place("table") && place("function") < place("topic"), "{back:?}");
    }

    #[tokio::test]
    async fn after_a_failure_what_hangs_on_it_is_left_alone() {
        let (mut log, result) = done(&graph(&[("a", &[]), ("b", &[]), ("c", &["a"]), ("d", &["b"])]), "a").await;
        log.sort();
        assert_eq!(result, Err("a".to_owned()));
        assert!(log.starts_with(&["a".to_owned(), "b".to_owned()]) && !log.contains(&"c".to_owned()), "{log:?}");
    }

    #[tokio::test]
    async fn many_are_done_though_few_at_a_time() {
        let names: Vec<String> = (0..30).map(|n| format!("r{n:02}")).collect();
        let graph = names.iter().map(|name| (name.clone(), BTreeSet::new())).collect();
        assert_eq!(done(&graph, "").await.0.len(), 30);
    }

    #[test]
    fn a_circle_is_named_and_an_order_is_none() {
        assert_eq!(circle(&graph(&[("a", &["b"]), ("b", &["a"]), ("c", &[])])), ["a", "b"]);
        assert!(circle(&graph(&[("a", &["b"]), ("b", &[])])).is_empty());
    }
}
