//! The core of Relight: it decides when and how the standby Region takes over, and what is still missing.
//!
//! ```text
//! trigger ─► event ─► nudge: read journal ─► fold ─► advance ─► observe ─► decide ─► act ─► record ─► say
//!            parse          one strong read   pure     pure      ports      pure      ports  conditional
//! ```
//!
//! Every function is the same loop ([`nudge`]) around its own part. The nouns ([`plan`], [`event`], [`evidence`], [`run`],
//! [`state`]) and every rule ([`advance`], [`fold`], [`decide`]) are pure: they take `now` as a value and know no AWS SDK.
//! What reads and writes the world stands behind [`ports`]; the only place with `aws_sdk_*` is [`mod@aws`], switched on
//! by features, a service at a time.

pub mod advance;
pub mod clock;
pub mod decide;
pub mod event;
pub mod evidence;
pub mod fold;
pub mod keep;
pub mod look;
pub mod nudge;
pub mod plan;
pub mod ports;
pub mod report;
pub mod run;
pub mod say;
pub mod secret;
#[cfg(test)]
mod situations;
pub mod state;

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "login")]
pub mod login;
