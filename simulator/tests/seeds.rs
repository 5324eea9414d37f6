//! Scenarios over many seeds, and that a seed means one run. Seeds that once failed are within the sweeps.

use overlay::Node;
use simulator::report::RunReport;
use simulator::run::run;
use simulator::scenario::Scenario;

fn load(name: &str) -> Scenario {
    let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("a scenario file");
    toml::from_str(&text).expect("a scenario")
}

/// Runs seeds until one fails; says how to repeat it.
fn sweep(name: &str, seeds: std::ops::Range<u64>) -> Vec<RunReport> {
    let scenario = load(name);
    let check = |seed| {
        let report = run(&scenario, seed, Node::new);
        let again = format!("cargo run -p simulator -- {name} --seed {seed} --log");
        assert!(report.violations.is_empty(), "{again}\n{:?}\n{:#?}", report.fault, report.violations);
        report
    };
    seeds.map(check).collect()
}

#[test]
fn the_same_seed_is_the_same_run() {
    let scenario = load("handover-kill");
    let [one, two, other] = [7, 7, 8].map(|seed| run(&scenario, seed, Node::new));
    assert_eq!(one, two);
    assert!(one.events > 1_000);
    assert_ne!(one.trace, other.trace);
}

#[test]
fn handovers_without_faults_all_succeed() {
    for report in sweep("handover", 0..8) {
        assert!(report.handovers.done >= 5 && report.handovers.failed.is_empty(), "{:?}", report.handovers);
        assert_eq!(report.sessions_lost, 0);
        assert!(report.replies > 1_000 && report.messages > 300);
    }
}

/// Source, target and witness; closed, killed, frozen, mute, isolated, cut off; at each step of a handover.
#[test]
fn a_handover_survives_what_hits_it_at_every_step() {
    let reports = sweep("handover-kill", 0..200);
    let struck = reports.iter().filter(|report| report.fault.is_some()).count();
    assert!(struck > 150, "only {struck} faults struck");
}

/// H1 to H7 among a hundred tabs that come, go and lose each other.
#[test]
fn a_hundred_tabs() {
    let [report] = &sweep("hundred", 0..1)[..] else { panic!("one run") };
    assert!(report.replies > 1_000 && report.handovers.done > 20, "{report:?}");
}

/// F1, F2, F3, F5: leaders of a group of three are closed, killed, frozen, muted, isolated and cut off.
#[test]
fn a_replicated_service_survives_its_leaders() {
    for report in sweep("replicated-kill", 0..10) {
        assert!(report.deaths >= 5 && report.replies > 1_000, "{report:?}");
        assert_eq!(report.sessions_lost, 0, "{report:?}");
        // Without heartbeats a consumer hears of its server's silent death from its transport, after 12 to 17 s.
        assert!(report.longest_gap_ms < 5_000, "{report:?}");
    }
}

/// The host of a `single` service closes its page, again and again: its standby goes on, and nothing is lost.
#[test]
fn a_standby_goes_on_when_its_host_closes_the_page() {
    for report in sweep("standby", 0..10) {
        assert!(report.deaths >= 5 && report.replies > 1_000, "{report:?}");
        assert_eq!((report.sessions_lost, report.lost), (0, 0), "{report:?}");
        assert!(report.longest_gap_ms < 2_000, "{report:?}");
    }
}

/// As above, when the target is sometimes a standby.
#[test]
fn a_handover_with_a_standby_survives_what_hits_it() {
    let reports = sweep("handover-standby", 0..40);
    assert!(reports.iter().filter(|report| report.fault.is_some()).count() > 20);
}

/// Row 40: three services burn 720 million gas a second at one host that grants 500.
#[test]
fn a_host_sheds_what_will_be_too_much() {
    for report in sweep("balance", 0..3) {
        assert!((1..=3).contains(&report.sheds) && report.most_led <= 2, "{report:?}");
        assert_eq!((report.sessions_lost, report.lost), (0, 0), "{report:?}");
    }
}

/// Row 39: what is read often gets copies, and they answer; what is read seldom does not.
#[test]
fn a_popular_service_is_replicated_by_itself() {
    for report in sweep("popular", 0..3) {
        assert!(report.reads > 3_000 && report.reads_elsewhere * 2 > report.reads, "{report:?}");
    }
    let mut seldom = load("popular");
    seldom.calls.reads_per_second = 2;
    let report = run(&seldom, 0, Node::new);
    assert!(report.violations.is_empty() && report.reads > 300, "{report:?}");
    assert_eq!(report.reads_elsewhere, 0);
}

#[test]
fn a_replicated_service_moves_while_tabs_come_and_go() {
    for report in sweep("replicated-moves", 0..6) {
        assert!(report.handovers.done >= 10, "{:?}", report.handovers);
    }
}
