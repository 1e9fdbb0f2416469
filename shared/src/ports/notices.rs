//! What is said to others, to Relight's own functions (a nudge) and to people; and who would hear it.

use std::fmt;

use super::CallError;

#[allow(async_fn_in_trait)]
pub trait Notices {
    async fn publish(&self, notice: &Notice) -> Result<(), CallError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A part is complete or the phase changed: wakes the other functions. Never sent for each poll, since recursion
    /// detection counts hops.
    Progress { plan: String, run: String, what: String },
    /// For people, by e-mail or HTTPS.
    People { subject: String, text: String },
}

/// Who listens to the standby's own topics. Those of other Regions are nobody's to ask: their Region may be dark.
#[allow(async_fn_in_trait)]
pub trait Audience {
    async fn audience(&self, topic: Topic) -> Result<Vec<Subscriber>, CallError>;
}

/// The control stack's topics, all in the standby Region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Wakes Relight's functions.
    Progress,
    /// Alarms of the standby Region.
    Alarms,
    People,
}

impl Topic {
    pub const ALL: [Topic; 3] = [Topic::Progress, Topic::Alarms, Topic::People];
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Topic::Progress => "progress topic",
            Topic::Alarms => "alarm topic",
            Topic::People => "people topic",
        })
    }
}

/// Somebody to whom a topic delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// A function's ARN, an address, a URL.
    pub endpoint: String,
    /// A person who has not answered SNS's question yet gets nothing.
    pub confirmed: bool,
}
