//! The page of a run: what people look at first, in the order in which they ask. Did it work, how long did it take, what
//! took long, what was not shown, who did what. No script, no outside resource: it can be mailed and kept.

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::home::USERS_HOME;
use super::{Measured, Milestone, Report, Resource};
use crate::ports::EntryKind;
use crate::run::{Mode, Phase};

/// Width of the chart's plot and of its labels, in SVG units.
const PLOT: f64 = 720.0;
const LABELS: f64 = 250.0;
const ROW: f64 = 26.0;

pub(super) const STYLE: &str = "
:root { --ink:#1c2430; --soft:#5d6b7c; --line:#dfe5ec; --good:#1a7f4b; --bad:#b3261e; --warn:#8a5a00; --bar:#2f6fde; --wait:#c9d8f5; --paper:#fff; --back:#f5f7fa }
* { box-sizing:border-box } body { margin:0; background:var(--back); color:var(--ink); font:15px/1.5 system-ui,sans-serif }
main { max-width:1060px; margin:0 auto; padding:28px 20px 60px }
h1 { font-size:24px; margin:0 0 4px } h2 { font-size:17px; margin:34px 0 10px } p { margin:4px 0 }
.soft { color:var(--soft) } .badge { display:inline-block; padding:2px 12px; border-radius:99px; color:#fff; font-weight:600; font-size:14px; margin-left:10px; vertical-align:3px }
.good { background:var(--good) } .bad { background:var(--bad) } .even { background:var(--soft) }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(220px,1fr)); gap:14px; margin-top:20px }
.tile,.card { background:var(--paper); border:1px solid var(--line); border-radius:10px; padding:14px 18px } .tile b { display:block; font-size:26px; line-height:1.25 }
.over b { color:var(--bad) } .card { overflow-x:auto } ul { margin:0; padding-left:0; list-style:none } li { padding:3px 0 }
.mark { display:inline-block; width:22px; font-weight:700 } .ok { color:var(--good) } .not { color:var(--bad) }
table { border-collapse:collapse; width:100%; font-size:14px } td,th { text-align:left; padding:5px 10px 5px 0; border-bottom:1px solid var(--line); vertical-align:top } th { color:var(--soft); font-weight:500 }
td.time { white-space:nowrap; font-variant-numeric:tabular-nums; text-align:right; color:var(--soft) } td.who { white-space:nowrap } tr:last-child td { border-bottom:0 }
.phase td { font-weight:600 } .refusal td,.failure td { color:var(--bad) } .waiting td { color:var(--soft) } .operator td,.evidence td { color:var(--warn) }
svg { display:block; min-width:900px; width:100%; height:auto; font:12px system-ui,sans-serif } .grid { stroke:var(--line) } .axis { fill:var(--soft) }
@media (prefers-color-scheme:dark) { :root { --ink:#e6ebf2; --soft:#9aa8b8; --line:#303a47; --good:#2a9d63; --bad:#e0635b; --warn:#d9a441; --bar:#5b93f5; --wait:#2b3d5e; --paper:#1b222c; --back:#12171e } svg text { fill:var(--ink) } svg .axis { fill:var(--soft) } }
@media print { body { background:#fff } .card,.tile { break-inside:avoid } }
";

/// The whole report as one page.
pub fn page(report: &Report) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Relight " (report.plan) ": " (report.run) }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                (heading(report))
                (tiles(report))
                h2 { "What took how long" }
                div .card { (chart(report)) }
                h2 { "What was shown" }
                div .card { (findings(report)) }
                @if !report.not_proven.is_empty() {
                    h2 { "What was not" }
                    div .card { ul { @for line in &report.not_proven { li { span .mark .soft { "–" } (line) } } } }
                }
                (writable(report))
                (compared(report))
                (rows_left(report))
                h2 { "Who did what, and why" }
                div .card { (timeline(report)) }
                h2 { "Requests sent to AWS" }
                div .card { (calls(report)) }
            } }
        }
    }
    .into_string()
}

fn heading(report: &Report) -> Markup {
    let (class, word) = match (report.mode, report.ended, report.passed) {
        (Mode::Failover, Phase::Closed, _) => ("even", "stood down"),
        (Mode::Failback, ..) if !came_home(report) => ("even", "given up"),
        (_, _, true) => ("good", "passed"),
        (_, _, false) => ("bad", "did not pass"),
    };
    let (what, between) = match report.mode {
        Mode::Failover => ("Failover", [&report.primary, &report.standby]),
        Mode::Drill => ("Drill", [&report.primary, &report.standby]),
        Mode::Failback => ("Failback", [&report.standby, &report.primary]),
    };
    html! {
        h1 { (what) " of " (report.plan) span .badge .(class) { (word) } }
        p { (report.cause) }
        p .soft { (report.run) " · " (between[0]) " to " (between[1]) " · plan version " (report.plan_version) " · " (moment(report.opened_at)) @if let Some(ended) = report.ended_at { " to " (moment(ended)) } }
    }
}

fn came_home(report: &Report) -> bool {
    report.milestones.iter().any(|milestone| milestone.name == USERS_HOME)
}

fn tiles(report: &Report) -> Markup {
    if report.mode == Mode::Failback {
        return home_tiles(report);
    }
    let tile = |name: &str, measured: Option<f64>, objective: f64, without: &str| {
        let over = measured.is_some_and(|measured| measured > objective);
        html! {
            div .tile .over[over] {
                span .soft { (name) }
                b { @match measured { Some(measured) => (seconds(measured)), None => (without) } }
                span .soft { "objective " (seconds(objective)) }
            }
        }
    };
    let loss = if report.mode == Mode::Drill { "not part of a drill" } else { "unknown" };
    html! {
        div .tiles {
            (tile("Recovery time (RTO)", report.measured.rto_seconds, report.objectives.rto_seconds, "not recovered"))
            (tile("Estimated loss (RPO)", report.measured.rpo_seconds, report.objectives.rpo_seconds, loss))
            @if let Some(lost) = &report.measured.lost {
                div .tile { span .soft { "Really lost, by comparing both databases" } b { (lost.rows) " rows" } span .soft { "written within " (seconds(lost.seconds)) } }
            }
            @for window in &report.measured.windows {
                div .tile {
                    span .soft { "Logins of " (window.secret) " refused at most" }
                    b { (window.seconds.map_or("not over yet".to_owned(), seconds)) }
                    span .soft { "a single user, from the call of its rotation to its end" }
                }
            }
            div .tile { span .soft { "From the first evidence to the first request" } b { (first_request(report).map_or("none".to_owned(), seconds)) } span .soft { (report.calls.values().sum::<u32>()) " requests to AWS in all" } }
        }
    }
}

fn home_tiles(report: &Report) -> Markup {
    let left: u64 = report.rows_left.iter().map(|left| left.missing + left.differing).sum();
    html! {
        div .tiles {
            div .tile { span .soft { "Writes paused" } b { (report.measured.write_pause_seconds.map_or("not at all".to_owned(), seconds)) } span .soft { "until users could write again" } }
            div .tile { span .soft { "Rows left behind" } b { (left) } span .soft { "in the files below" } }
            div .tile { span .soft { "Requests to AWS" } b { (report.calls.values().sum::<u32>()) } span .soft { "in all" } }
        }
    }
}

fn writable(report: &Report) -> Markup {
    let Measured { writable_seconds, writable_estimated_seconds, restored_seconds, .. } = &report.measured;
    html! {
        @if !writable_seconds.is_empty() {
            h2 { "From the promotion's call to writable" }
            div .card { table {
                tr { th { "database" } th { "took" } th { "the last good drill before took" } }
                @for (name, took) in writable_seconds {
                    tr { td { (name) } td { (seconds(*took)) } td { (writable_estimated_seconds.get(name).map_or("unknown".to_owned(), |took| seconds(*took))) } }
                }
            } }
        }
        @if !restored_seconds.is_empty() {
            h2 { "From the restore's request to writable" }
            div .card { table {
                tr { th { "database" } th { "took" } th { "" } }
                @for (name, took) in restored_seconds {
                    tr { td { (name) } td { (seconds(*took)) } td { "restored from a snapshot: it says nothing of a promotion or a takeover" } }
                }
            } }
        }
    }
}

fn compared(report: &Report) -> Markup {
    let word = |equal: Option<bool>| match equal {
        Some(true) => "equal",
        Some(false) => "different",
        None => "not compared",
    };
    html! {
        @if !report.compared.is_empty() {
            h2 { "The copies, compared with their replicas" }
            div .card { table {
                tr { th { "database" } th { "" } th { "what was seen" } th { "tables left out" } }
                @for seen in &report.compared {
                    tr { td .who { (seen.database) } td .who { (word(seen.equal)) } td { (seen.said) } td { (seen.left_out.join("; ")) } }
                }
            } }
        }
    }
}

fn rows_left(report: &Report) -> Markup {
    html! {
        @if !report.rows_left.is_empty() {
            h2 { "Rows left behind" }
            div .card { table {
                tr { th { "database" } th { "table" } th { "missing" } th { "differing" } th { "file" } }
                @for left in &report.rows_left { tr { td { (left.database) } td { (left.table) } td { (left.missing) } td { (left.differing) } td { (left.file) } } }
            } }
        }
        @if !report.set_aside.is_empty() {
            h2 { "Set aside" }
            div .card { ul { @for line in &report.set_aside { li { span .mark .soft { "–" } (line) } } } }
        }
    }
}

fn first_request(report: &Report) -> Option<f64> {
    report.timeline.iter().find(|row| row.kind == EntryKind::Action).map(|row| row.after_seconds.max(0.0))
}

fn findings(report: &Report) -> Markup {
    html! { ul { @for finding in &report.findings { li { @if finding.ok { span .mark .ok { "✓" } } @else { span .mark .not { "✗" } } (finding.said) } } } }
}

fn timeline(report: &Report) -> Markup {
    html! {
        table {
            tr { th { "after" } th { "who" } th { "about" } th { "what" } }
            @for row in &report.timeline {
                tr .(kind(row.kind)) { td .time { (offset(row.after_seconds)) } td .who { (row.by) } td .who { (row.about) } td { (row.said) } }
            }
        }
    }
}

fn calls(report: &Report) -> Markup {
    html! { table { tr { th { "call" } th { "times" } } @for (call, count) in &report.calls { tr { td { (call) } td { (count) } } } } }
}

/// Bars from asked to reached, one row a resource, with the milestones across.
fn chart(report: &Report) -> Markup {
    let zero = report.first_down.unwrap_or(report.opened_at).min(report.opened_at);
    let after = |at: Timestamp| at.duration_since(zero).as_secs_f64().max(0.0);
    let ends = report
        .resources
        .iter()
        .filter_map(|resource| resource.reached_at)
        .map(after)
        .chain(report.milestones.iter().map(|milestone| milestone.after_seconds));
    let span = ends.fold(1.0_f64, f64::max) * 1.04;
    let x = |at: f64| LABELS + at / span * PLOT;
    let rows: Vec<&Resource> = report.resources.iter().filter(|resource| resource.requested_at.or(resource.reached_at).is_some()).collect();
    let marks = spread(&report.milestones);
    let top = 8.0 + ROW * marks.len() as f64;
    let height = top + ROW * rows.len() as f64 + 30.0;
    html! {
        svg viewBox={ "0 0 " (LABELS + PLOT + 20.0) " " (height) } role="img" aria-label="Timeline of the run" {
            @for tick in ticks(span) {
                line .grid x1=(x(tick)) x2=(x(tick)) y1="4" y2=(height - 24.0) {}
                text .axis x=(x(tick)) y=(height - 8.0) text-anchor="middle" { (seconds(tick)) }
            }
            @for (index, milestone) in marks.iter().enumerate() {
                @let y = 8.0 + ROW * index as f64;
                @let right = x(milestone.after_seconds) > LABELS + PLOT * 0.72;
                text x="0" y=(y + 13.0) fill="currentColor" { (clip(&milestone.name)) }
                circle cx=(x(milestone.after_seconds)) cy=(y + 9.0) r="5" fill="var(--warn)" {}
                text x=(x(milestone.after_seconds) + if right { -10.0 } else { 10.0 }) y=(y + 13.0) text-anchor=(if right { "end" } else { "start" }) .axis { (seconds(milestone.after_seconds)) }
            }
            @for (index, row) in rows.iter().enumerate() {
                (bar(row, top + ROW * index as f64, &x, &after, span))
            }
        }
    }
}

fn bar(row: &Resource, y: f64, x: &impl Fn(f64) -> f64, after: &impl Fn(Timestamp) -> f64, span: f64) -> Markup {
    let from = row.requested_at.or(row.reached_at).map_or(0.0, after);
    let to = row.reached_at.map_or(span, after);
    let fill = if row.reached_at.is_some() { "var(--bar)" } else { "var(--bad)" };
    let width = (x(to) - x(from)).max(4.0);
    let right = x(to) > LABELS + PLOT * 0.8;
    html! {
        text x="0" y=(y + 13.0) fill="currentColor" { (clip(&row.name)) }
        rect x=(x(from)) y=(y + 2.0) width=(width) height="15" rx="3" fill=(fill) { title { (row.by) ": " (row.name) " " (row.said) } }
        text .axis x=(if right { x(from) - 6.0 } else { x(from) + width + 6.0 }) y=(y + 13.0) text-anchor=(if right { "end" } else { "start" }) {
            @if row.reached_at.is_some() { (seconds(to - from)) } @else { "not reached" }
        }
    }
}

/// Milestones that no bar shows, each on a row of its own.
fn spread(milestones: &[Milestone]) -> Vec<&Milestone> {
    milestones.iter().filter(|milestone| !milestone.name.contains(": ") && !milestone.name.starts_with("capacity")).collect()
}

/// At most eight round steps.
fn ticks(span: f64) -> Vec<f64> {
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0];
    let step = steps.into_iter().find(|step| span / step <= 8.0).unwrap_or(span / 8.0);
    (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= span).collect()
}

fn clip(text: &str) -> String {
    if text.chars().count() <= 36 { text.to_owned() } else { format!("{}…", text.chars().take(35).collect::<String>()) }
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Phase => "phase",
        EntryKind::Evidence => "evidence",
        EntryKind::Operator => "operator",
        EntryKind::Action => "action",
        EntryKind::Reached => "reached",
        EntryKind::Waiting => "waiting",
        EntryKind::Refusal => "refusal",
        EntryKind::Failure => "failure",
        EntryKind::Other => "other",
    }
}

pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `12.3 s`, `4 min 05 s`, `1 h 12 min`.
pub(super) fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as i64;
    match whole {
        _ if seconds < 0.0 => format!("{seconds:.0} s"),
        _ if seconds < 10.0 && seconds.fract() != 0.0 => format!("{seconds:.1} s"),
        0..120 => format!("{whole} s"),
        120..7200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

fn offset(after: f64) -> String {
    format!("{after:+.1} s")
}
