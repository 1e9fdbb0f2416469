//! What moto forgets of a group: an update that says nothing of the mixed instances policy takes it away there, where AWS keeps it.
//! So the policy that a group was last given is remembered here, and said again with each update that leaves it out.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::request::{Parsed, Request};

/// By Region and name of the group: the policy's fields, as the Query call spelled them.
#[derive(Debug, Default)]
pub(crate) struct Policies(BTreeMap<(String, String), Vec<(String, String)>>);

impl Policies {
    /// The call as moto must hear it, where that is another than was sent.
    pub(crate) fn complete(&mut self, request: &Request, call: &Parsed) -> Option<Request> {
        if call.service != "autoscaling" || !matches!(call.operation.as_str(), "CreateAutoScalingGroup" | "UpdateAutoScalingGroup") {
            return None;
        }
        let fields: Vec<(String, String)> = form_urlencoded::parse(&request.body).into_owned().collect();
        let name = fields.iter().find(|(name, _)| name == "AutoScalingGroupName").map(|(_, name)| name.clone())?;
        let key = (call.region.clone(), name);
        let launches = |name: &str| ["MixedInstancesPolicy.", "LaunchTemplate.", "LaunchConfigurationName"].iter().any(|kind| name.starts_with(kind));
        let said: Vec<(String, String)> = fields.iter().filter(|(name, _)| launches(name)).cloned().collect();
        if !said.is_empty() {
            self.0.insert(key, said);
            return None;
        }
        let held = self.0.get(&key)?;
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.iter().chain(held)).finish();
        Some(Request { body: Bytes::from(body), ..request.clone() })
    }
}
