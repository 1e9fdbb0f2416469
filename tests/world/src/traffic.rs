//! Where users are and how the primary looks, as DNS, the checkers and HTTP tell it.
//!
//! Route 53 follows two causes: STOP, and the primary's own health check. Each reaches the answers only after the checkers
//! have noticed it and the TTL has run out.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use relight::clock::Clock;
use relight::plan::{self, ObserverKind, Plan};
use relight::ports::{CallError, Eyes, Fetched, Resolved, Traffic, Why};
use relight::state::Place;

use crate::Calls;

/// From a change of what the checkers look at to the new answer at the resolver.
pub const DNS_FOLLOWS: SignedDuration = SignedDuration::from_secs(40);

/// Something that is so, and that Route 53 sees later.
#[derive(Debug, Default)]
struct Followed {
    so: bool,
    changed_at: Option<Timestamp>,
}

impl Followed {
    fn set(&mut self, so: bool, now: Timestamp) {
        if self.so != so {
            *self = Followed { so, changed_at: Some(now) };
        }
    }

    fn as_route_53_sees_it(&self, now: Timestamp) -> bool {
        let noticed = self.changed_at.is_none_or(|at| now.duration_since(at) >= DNS_FOLLOWS);
        if noticed { self.so } else { !self.so }
    }
}

#[derive(Debug)]
struct Inner {
    stop: Followed,
    /// What the primary answers; `None` is no answer.
    primary: Option<(u16, String)>,
    primary_down: Followed,
    standby: Option<(u16, String)>,
    /// Texts that the checkers' record answers whatever the primary does.
    texts: Option<Vec<String>>,
    heartbeats: Vec<Timestamp>,
    no_bucket: bool,
    /// Names that do not resolve.
    unresolved: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct TrafficWorld {
    calls: Calls,
    clock: Clock,
    record: String,
    standby: String,
    healthy_url: String,
    up: String,
    inner: Rc<RefCell<Inner>>,
}

impl TrafficWorld {
    pub fn of(plan: &Plan, calls: Calls, clock: Clock) -> TrafficWorld {
        let body = plan.observers.iter().find_map(|observer| match &observer.kind {
            ObserverKind::Probe { body, .. } => Some(body.clone()),
            ObserverKind::Checkers { .. } | ObserverKind::Alarm { .. } => None,
        });
        let up = plan.observers.iter().find_map(|observer| match &observer.kind {
            ObserverKind::Checkers { up, .. } => Some(up.clone()),
            ObserverKind::Probe { .. } | ObserverKind::Alarm { .. } => None,
        });
        let inner = Inner {
            stop: Followed::default(),
            primary: Some((200, body.unwrap_or_default())),
            primary_down: Followed::default(),
            standby: Some((200, plan.traffic.healthy_body.clone())),
            texts: None,
            heartbeats: Vec::new(),
            no_bucket: false,
            unresolved: BTreeSet::new(),
        };
        TrafficWorld {
            calls,
            clock,
            record: plan.traffic.record.clone(),
            standby: plan.traffic.standby.clone(),
            healthy_url: plan.traffic.healthy_url.clone(),
            up: up.unwrap_or_default(),
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// What the primary answers from now on; `None`: nothing.
    pub fn primary_answers(&self, answer: Option<(u16, &str)>) {
        let mut inner = self.inner.borrow_mut();
        inner.primary_down.set(answer.is_none_or(|(status, _)| status >= 400), self.clock.now());
        inner.primary = answer.map(|(status, body)| (status, body.to_owned()));
    }

    /// What the standby's health page answers from now on.
    pub fn standby_answers(&self, answer: Option<(u16, &str)>) {
        self.inner.borrow_mut().standby = answer.map(|(status, body)| (status, body.to_owned()));
    }

    /// What the checkers' record says from now on; `None`: what the checkers see.
    pub fn checkers_say(&self, texts: Option<&[&str]>) {
        self.inner.borrow_mut().texts = texts.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect());
    }

    /// Whether the STOP object lies in its bucket.
    pub fn stop(&self) -> bool {
        self.inner.borrow().stop.so
    }

    /// Puts or removes it as a person would, by hand.
    pub fn set_stop(&self, stop: bool) {
        self.inner.borrow_mut().stop.set(stop, self.clock.now());
    }

    /// Removes the bucket of the STOP object.
    pub fn lose_bucket(&self) {
        self.inner.borrow_mut().no_bucket = true;
    }

    /// From now on nobody knows this name.
    pub fn lose_name(&self, name: &str) {
        self.inner.borrow_mut().unresolved.insert(name.to_owned());
    }

    /// Where users' name leads now.
    pub fn users(&self) -> Place {
        let (inner, now) = (self.inner.borrow(), self.clock.now());
        let away = inner.stop.as_route_53_sees_it(now) || inner.primary_down.as_route_53_sees_it(now);
        if away { Place::Standby } else { Place::Primary }
    }

    pub fn heartbeats(&self) -> Vec<Timestamp> {
        self.inner.borrow().heartbeats.clone()
    }

    fn get(&self, url: &str) -> Fetched {
        let place = if url == self.healthy_url { Place::Standby } else { Place::Primary };
        let answer = self.calls.pass("http:Get", place, url, || {
            let inner = self.inner.borrow();
            let answer = if place == Place::Standby { &inner.standby } else { &inner.primary };
            answer.clone().ok_or_else(|| Why::Unanswered("time-out".to_owned()))
        });
        match answer {
            Ok((status, body)) => Fetched::Answered { status, body },
            Err(error) => Fetched::Silent(error.why.to_string()),
        }
    }
}

impl Traffic for TrafficWorld {
    async fn stop_is_present(&self, traffic: &plan::Traffic) -> Result<bool, CallError> {
        self.calls.pass("s3:HeadObject", Place::Standby, &traffic.stop_key, || Ok(self.stop()))
    }

    async fn put_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError> {
        self.calls.pass("s3:PutObject", Place::Standby, &traffic.stop_key, || {
            self.set_stop(true);
            Ok(())
        })
    }

    async fn remove_stop(&self, traffic: &plan::Traffic) -> Result<(), CallError> {
        self.calls.pass("s3:DeleteObject", Place::Standby, &traffic.stop_key, || {
            self.set_stop(false);
            Ok(())
        })
    }

    async fn stop_as_checkers_see_it(&self, traffic: &plan::Traffic) -> Fetched {
        let seen = self.calls.pass("http:Get", Place::Standby, &traffic.stop_key, || Ok(self.stop()));
        match seen {
            _ if self.inner.borrow().no_bucket => Fetched::Answered { status: 404, body: "<Error><Code>NoSuchBucket</Code></Error>".to_owned() },
            Ok(true) => Fetched::Answered { status: 200, body: String::new() },
            Ok(false) => Fetched::Answered { status: 403, body: String::new() },
            Err(error) => Fetched::Silent(error.why.to_string()),
        }
    }

    async fn resolve(&self, name: &str) -> Result<Resolved, CallError> {
        self.calls.pass("dns:Query", Place::Standby, name, || {
            if self.inner.borrow().unresolved.contains(name) {
                return Err(Why::NotFound(format!("nobody knows {name}")));
            }
            let place = if name == self.record { self.users() } else { Place::Standby };
            let alias = (name == self.record && place == Place::Standby).then(|| self.standby.clone());
            let address = match place {
                Place::Primary => Ipv4Addr::new(192, 0, 2, 1),
                Place::Standby => Ipv4Addr::new(198, 51, 100, 1),
            };
            let names = [name.to_owned()].into_iter().chain(alias).collect();
            Ok(Resolved { names, addresses: [IpAddr::from(address)].into() })
        })
    }

    async fn fetch(&self, url: &str, _: Duration) -> Fetched {
        self.get(url)
    }
}

impl Eyes for TrafficWorld {
    async fn fetch(&self, url: &str, within: Duration) -> Fetched {
        let fetched = self.get(url);
        if matches!(fetched, Fetched::Silent(_)) {
            tokio::time::sleep(within).await;
        }
        fetched
    }

    async fn texts(&self, record: &str) -> Result<Vec<String>, CallError> {
        self.calls.pass("dns:Query", Place::Standby, record, || {
            let inner = self.inner.borrow();
            match &inner.texts {
                Some(texts) if texts.is_empty() => Err(Why::NotFound(format!("{record} has no text"))),
                Some(texts) => Ok(texts.clone()),
                None if inner.primary_down.as_route_53_sees_it(self.clock.now()) => Ok(vec!["DOWN".to_owned()]),
                None => Ok(vec![self.up.clone()]),
            }
        })
    }

    async fn heartbeat(&self, _: &Plan) -> Result<(), CallError> {
        self.calls.pass("cloudwatch:PutMetricData", Place::Primary, "Heartbeat", || {
            self.inner.borrow_mut().heartbeats.push(self.clock.now());
            Ok(())
        })
    }
}
