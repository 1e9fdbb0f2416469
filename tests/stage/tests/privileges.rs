//! Least privilege, proven: each permission of infra/control was needed by a scene, and each scene had what it needed.
//!
//! ```text
//! make test-stage ─► every scene leaves what it asked of the roles in target/stage/coverage
//!                 └► here, last: the template's roles as they are now ─► what nobody asked for │ what somebody asks for in vain
//! ```
//! It needs no stage. So a permission that is put into the template, or taken out of it, shows here without the scenes being run again; and a
//! scene whose function lacks one fails by itself, since the router denies the call.

use std::collections::{BTreeMap, BTreeSet};

use relight_stage::coverage::{self, Coverage};
use relight_stage::layout::Layout;
use stage_router::{Grant, Permission, Policies};

/// What no scene on this machine can show: statement, action, and why.
const UNSEEN: &[(&str, &str, &str)] = &[
    ("Logs", "logs:CreateLogStream", "Lambda writes the log, inside the emulator"),
    ("Logs", "logs:PutLogEvents", "Lambda writes the log, inside the emulator"),
    ("DeadLetters", "sqs:SendMessage", "Lambda sends what failed three times, inside the emulator"),
    ("Network", "ec2:CreateNetworkInterface", "there is no VPC on the stage; the six are AWS's own list"),
    ("Network", "ec2:DescribeNetworkInterfaces", "there is no VPC on the stage"),
    ("Network", "ec2:DescribeSubnets", "there is no VPC on the stage"),
    ("Network", "ec2:DeleteNetworkInterface", "there is no VPC on the stage"),
    ("Network", "ec2:AssignPrivateIpAddresses", "there is no VPC on the stage"),
    ("Network", "ec2:UnassignPrivateIpAddresses", "there is no VPC on the stage"),
];

/// What the stage's own deployment leaves out: every statement is to be judged, so every condition of the template must hold.
/// The resolver's port is another in each scene, and no role's concern.
const BESIDES: &[(&str, &str)] =
    &[("SubnetIds", "subnet-0a1b2c3d"), ("SecurityGroupIds", "sg-0a1b2c3d"), ("ResolverAddress", ""), ("AllowFailback", "yes")];

/// A grant and who has it: a role, or the policy that several roles share.
type Held = (String, Grant);

/// All that is to be said of the roles.
#[derive(Default)]
struct Judged {
    /// Nobody can list what these allow, so nobody can have needed all of it.
    boundless: Vec<String>,
    /// No scene asked for it.
    unused: Vec<String>,
    /// A scene asks for it, and the template does not allow it.
    missing: Vec<String>,
    /// Two statements allow the same: taking one out would change nothing.
    twice: Vec<String>,
    /// The list above is wrong about these.
    unseen: Vec<String>,
}

#[tokio::test]
async fn every_permission_of_a_role_was_needed_by_a_scene_and_none_is_missing() {
    let layout = Layout::find().expect("a checkout that was built");
    let kept = coverage::read(&layout).expect("what the scenes left");
    let there: BTreeSet<&str> = kept.iter().map(|coverage| coverage.scene.as_str()).collect();
    let scenes = coverage::scenes(&layout).expect("the scenes' sources");
    let unrun = coverage::unrun(&layout);
    let lacking: Vec<&String> = scenes.iter().filter(|scene| !there.contains(scene.as_str()) && !unrun.contains(scene)).collect();
    assert!(scenes.len() >= 10, "the search for scenes finds them: {scenes:?}");
    assert!(lacking.is_empty(), "the roles cannot be judged: these scenes have not passed since target/stage/coverage was emptied: {lacking:#?}");

    let judged = judge(&layout, &kept).await;
    for (what, found) in [
        ("allows more than can be listed; name each action, and give a `*` a condition", &judged.boundless),
        ("no scene needed it; take it out of infra/control, or add the scene that needs it", &judged.unused),
        ("a scene needs it, and infra/control does not allow it", &judged.missing),
        ("two statements allow it; leave one", &judged.twice),
        ("the list of what no scene can show is wrong; correct it", &judged.unseen),
    ] {
        found.iter().for_each(|one| println!("{one}: {what}"));
    }
    let found = [&judged.boundless, &judged.unused, &judged.missing, &judged.twice, &judged.unseen].into_iter().flatten();
    assert_eq!(found.collect::<Vec<_>>(), [""; 0], "{} scenes were asked", kept.len());
}

async fn judge(layout: &Layout, kept: &[Coverage]) -> Judged {
    let mut judged = Judged::default();
    let mut all: BTreeSet<Held> = BTreeSet::new();
    let mut used: BTreeSet<Held> = BTreeSet::new();
    for coverage in kept {
        let roles = coverage.policies(layout, BESIDES).await.expect("the template, resolved over what the scene deployed");
        let names: BTreeMap<&str, &str> = roles.keys().filter_map(|role| Some((coverage.resources.get(role)?.id.as_str(), role.as_str()))).collect();
        let mut policies = BTreeMap::new();
        for (role, held) in &roles {
            let parsed = held.iter().map(|policy| {
                let parsed = Policies::parse([policy.document.to_string().as_str()]);
                (policy.owner.clone(), parsed.unwrap_or_else(|error| panic!("{}: {error}", policy.owner)))
            });
            let parsed: Vec<(String, Policies)> = parsed.collect();
            all.extend(parsed.iter().flat_map(|(owner, policies)| policies.grants().into_iter().map(|grant| (owner.clone(), grant))));
            policies.insert(role.as_str(), parsed);
        }
        for permission in &coverage.permissions {
            // Roles that are not the control stack's are the application's own.
            let Some(role) = names.get(permission.role.as_str()) else { continue };
            take(&mut judged, &mut used, role, &policies[role], permission, &coverage.scene);
        }
    }
    let unseen = |grant: &Grant| UNSEEN.iter().any(|(sid, action, _)| *sid == grant.sid && *action == grant.action);
    let said = |(owner, grant): &Held| format!("{owner}: {grant}");
    judged.boundless = all.iter().filter(|(_, grant)| grant.is_boundless() && !unseen(grant)).map(said).collect();
    judged.unused = all.difference(&used).filter(|(_, grant)| !unseen(grant)).map(said).collect();
    judged.unseen = used.iter().filter(|(_, grant)| unseen(grant)).map(|held| format!("{} is used", said(held))).collect();
    for (sid, action, _) in UNSEEN {
        if !all.iter().any(|(_, grant)| *sid == grant.sid && *action == grant.action) {
            judged.unseen.push(format!("statement {sid}, {action}: no role has it"));
        }
    }
    for list in [&mut judged.missing, &mut judged.twice] {
        list.sort();
        list.dedup();
    }
    judged
}

/// Which grant a permission took.
fn take(judged: &mut Judged, used: &mut BTreeSet<Held>, role: &str, policies: &[(String, Policies)], permission: &Permission, scene: &str) {
    let grants: Vec<Held> =
        policies.iter().flat_map(|(owner, policies)| policies.allowing(permission).into_iter().map(|grant| (owner.clone(), grant))).collect();
    match grants.as_slice() {
        [] => judged.missing.push(format!("{role}: {permission} in {scene}")),
        [_] => {}
        several => {
            let sids: Vec<&str> = several.iter().map(|(_, grant)| grant.sid.as_str()).collect();
            judged.twice.push(format!("{role}: {} by {}", permission.action, sids.join(" and ")));
        }
    }
    used.extend(grants);
}
