//! The trial of a module before its first service runs (Amoretti, SP2A: a peer tries what it downloaded): it starts, a
//! session opens, the manifest's examples are called, it closes, and a second instance is restored from its state.
//! `overlay::inspect` judges what came out.

use overlay::id::{InstanceId, PackageId, PeerId};
use overlay::inspect::{check_trial, Trial};
use overlay::manifest::ExampleCall;
use overlay::sandbox::{EventKind, GuestEvent, SandboxCommand, SandboxEvent};

/// Trials take numbers from here up; a kernel counts its instances from the bottom.
const FIRST_ID: u64 = 1 << 63;
/// What `now()` says during a trial, in ms since the Unix epoch: any time does.
const NOW_MS: u64 = 1_767_225_600_000;
/// How the worker begins when a module's start failed; the verdict says so itself.
const NOT_STARTED: &str = "the module could not be started: ";
/// The run of a snapshot; events count from 0.
const SNAPSHOT: u64 = 1_000;

/// The trials under way.
#[derive(Default)]
pub(crate) struct Trials {
    running: Vec<Running>,
    begun: u64,
}

struct Running {
    package: PackageId,
    /// The instance that answers next.
    instance: InstanceId,
    seen: Trial,
}

/// What a trial's event leads to.
#[derive(Default, Debug, PartialEq)]
pub(crate) struct Next {
    /// To be done in this order.
    pub(crate) commands: Vec<SandboxCommand>,
    /// The verdict, once there is one.
    pub(crate) verdict: Option<SandboxEvent>,
}

impl Trials {
    /// Begins the trial of an instrumented package.
    pub(crate) fn begin(&mut self, package: PackageId, examples: Vec<ExampleCall>) -> Vec<SandboxCommand> {
        let instance = self.number();
        let called = examples.iter().map(|example| {
            let kind = if example.read_only { EventKind::Query } else { EventKind::Call };
            (kind, service_abi::input::join_call(&example.method, &example.body).unwrap_or_default())
        });
        let events = std::iter::once((EventKind::Open, Vec::new()))
            .chain(called)
            .chain([(EventKind::Close, Vec::new())]);
        let mut commands = vec![SandboxCommand::Create { instance, package, restore: None }];
        commands.extend(events.zip(0..).map(|((kind, input), run)| {
            let consumer = Some(PeerId([1; 32]));
            let event = GuestEvent { kind, session: 1, now_ms: NOW_MS, seed: 1, consumer, input };
            SandboxCommand::Run { instance, run, event }
        }));
        commands.push(SandboxCommand::Snapshot { instance, run: SNAPSHOT });
        let (outcomes, saved, restored) = Default::default();
        let seen = Trial { failed: None, examples, outcomes, saved, restored };
        self.running.push(Running { package, instance, seen });
        commands
    }

    /// Takes an event of a trial's instance; any other is given back.
    pub(crate) fn handle(&mut self, event: SandboxEvent) -> Result<Next, SandboxEvent> {
        let id = match &event {
            SandboxEvent::Created { instance }
            | SandboxEvent::Ran { instance, .. }
            | SandboxEvent::Snapshot { instance, .. }
            | SandboxEvent::Failed { instance, .. } => *instance,
            SandboxEvent::Prepared { .. } | SandboxEvent::Refused { .. } => return Err(event),
        };
        if id.0 < FIRST_ID {
            return Err(event);
        }
        let Some(at) = self.running.iter().position(|trial| trial.instance == id) else {
            return Ok(Next::default());
        };
        let trial = &mut self.running[at];
        match event {
            SandboxEvent::Ran { outcome, .. } => trial.seen.outcomes.push(outcome),
            SandboxEvent::Snapshot { state, .. } if trial.seen.saved.is_empty() => {
                trial.seen.saved = state.clone();
                return Ok(self.restore(at, state));
            }
            SandboxEvent::Snapshot { state, .. } => {
                trial.seen.restored = state;
                return Ok(self.end(at));
            }
            SandboxEvent::Failed { reason, .. } => {
                let reason = reason.strip_prefix(NOT_STARTED).unwrap_or(&reason);
                trial.seen.failed = Some(reason.to_owned());
                return Ok(self.end(at));
            }
            _ => {}
        }
        Ok(Next::default())
    }

    /// The second instance, from the state of the first.
    fn restore(&mut self, at: usize, state: Vec<u8>) -> Next {
        let instance = self.number();
        let trial = &mut self.running[at];
        let first = std::mem::replace(&mut trial.instance, instance);
        let package = trial.package;
        let commands = vec![
            SandboxCommand::Stop { instance: first },
            SandboxCommand::Create { instance, package, restore: Some(state) },
            SandboxCommand::Snapshot { instance, run: SNAPSHOT },
        ];
        Next { commands, verdict: None }
    }

    fn end(&mut self, at: usize) -> Next {
        let Running { package, instance, seen } = self.running.swap_remove(at);
        let verdict = match check_trial(&seen) {
            Ok(()) => SandboxEvent::Prepared { package },
            Err(error) => SandboxEvent::Refused { package, reason: error.to_string() },
        };
        Next { commands: vec![SandboxCommand::Stop { instance }], verdict: Some(verdict) }
    }

    fn number(&mut self) -> InstanceId {
        self.begun += 1;
        InstanceId(FIRST_ID + self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use overlay::sandbox::Outcome;

    const PACKAGE: PackageId = PackageId(overlay::id::Hash([7; 32]));

    fn instance(number: u64) -> InstanceId {
        InstanceId(FIRST_ID + number)
    }

    fn ran(run: u64, outcome: Outcome) -> SandboxEvent {
        SandboxEvent::Ran { instance: instance(1), run, outcome }
    }

    fn done() -> Outcome {
        Outcome::Done { reply: Vec::new(), effects: Vec::new(), gas: 1 }
    }

    /// The verdict on a module whose opening ends like this and whose copy has this state.
    fn verdict(open: Outcome, copy: &[u8]) -> SandboxEvent {
        let mut trials = Trials::default();
        assert_eq!(trials.begin(PACKAGE, Vec::new()).len(), 4);
        for event in [SandboxEvent::Created { instance: instance(1) }, ran(0, open), ran(1, done())] {
            assert_eq!(trials.handle(event), Ok(Next::default()));
        }
        let snapshot =
            |number, state| SandboxEvent::Snapshot { instance: instance(number), run: SNAPSHOT, state };
        let next = trials.handle(snapshot(1, vec![1, 2])).unwrap();
        let create =
            SandboxCommand::Create { instance: instance(2), package: PACKAGE, restore: Some(vec![1, 2]) };
        assert_eq!(next.commands[..2], [SandboxCommand::Stop { instance: instance(1) }, create]);
        let end = trials.handle(snapshot(2, copy.to_vec())).unwrap();
        assert_eq!(end.commands, [SandboxCommand::Stop { instance: instance(2) }]);
        assert!(trials.running.is_empty());
        end.verdict.unwrap()
    }

    #[test]
    fn a_module_that_starts_opens_and_moves_is_prepared() {
        assert_eq!(verdict(done(), &[1, 2]), SandboxEvent::Prepared { package: PACKAGE });
    }

    #[test]
    fn a_trap_or_another_state_is_refused_in_words() {
        let trap = verdict(Outcome::Trapped { reason: "out of gas".into() }, &[1, 2]);
        let reason = "the module trapped in its trial: out of gas".to_owned();
        assert_eq!(trap, SandboxEvent::Refused { package: PACKAGE, reason });
        let reason = "the module's state differs after it was saved and restored".to_owned();
        assert_eq!(verdict(done(), &[3]), SandboxEvent::Refused { package: PACKAGE, reason });
    }

    #[test]
    fn examples_are_called_between_opening_and_closing() {
        let call = |method: &str, read_only| ExampleCall {
            method: method.to_owned(),
            read_only,
            body: b"1".to_vec(),
            expect: None,
        };
        let mut trials = Trials::default();
        let begun = trials.begin(PACKAGE, vec![call("add", false), call("read", true)]);
        let kinds: Vec<_> = begun
            .iter()
            .filter_map(|command| match command {
                SandboxCommand::Run { event, .. } => Some((event.kind, event.input.clone())),
                _ => None,
            })
            .collect();
        let input = |name: &str| service_abi::input::join_call(name, b"1").unwrap();
        let called = [(EventKind::Call, input("add")), (EventKind::Query, input("read"))];
        assert_eq!(kinds[1..3], called);
        trials.handle(ran(0, done())).unwrap();
        let failed = Outcome::Failed { reply: b"not yet".to_vec(), effects: Vec::new(), gas: 1 };
        for (run, outcome) in [(1, failed), (2, done()), (3, done())] {
            trials.handle(ran(run, outcome)).unwrap();
        }
        let state =
            |number| SandboxEvent::Snapshot { instance: instance(number), run: SNAPSHOT, state: vec![1] };
        trials.handle(state(1)).unwrap();
        let reason = "its example 1, add: it failed: not yet".to_owned();
        assert_eq!(
            trials.handle(state(2)).unwrap().verdict,
            Some(SandboxEvent::Refused { package: PACKAGE, reason })
        );
    }

    #[test]
    fn a_start_that_fails_is_refused_and_others_events_are_given_back() {
        let mut trials = Trials::default();
        trials.begin(PACKAGE, Vec::new());
        let foreign = SandboxEvent::Created { instance: InstanceId(1) };
        assert_eq!(trials.handle(foreign.clone()), Err(foreign));
        let said = format!("{NOT_STARTED}out of gas");
        let failed = SandboxEvent::Failed { instance: instance(1), reason: said };
        let reason = "the module could not be started: out of gas".to_owned();
        let refused = SandboxEvent::Refused { package: PACKAGE, reason };
        assert_eq!(trials.handle(failed.clone()).unwrap().verdict, Some(refused));
        assert_eq!(trials.handle(failed), Ok(Next::default()), "what comes late is nobody's");
    }
}
