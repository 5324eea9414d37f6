//! Handovers as they happen: from where to where, and how far. Bounded, and forgotten a while after they end.

/// Handovers that are shown at once.
const MAX_FLIGHTS: usize = 8;
/// How long one stays after its last step, in ms.
const STAYS_MS: f64 = 8_000.0;

/// A service on its way from one tab to another.
#[derive(Clone, PartialEq, Debug)]
pub struct Flight {
    pub number: u32,
    pub service: String,
    pub from: String,
    pub to: String,
    /// `offer`, `seed`, `join`, `warm`, `take-over`, `release`, `done`, `aborted`.
    pub step: String,
    /// Its last step, in ms since 1970.
    pub at: f64,
}

/// Takes a step of a handover; `number` is for one that is new.
pub fn step(flights: &mut Vec<Flight>, number: u32, flight: Flight) {
    let same =
        |each: &Flight| each.service == flight.service && each.from == flight.from && each.to == flight.to;
    // One that ended and is tried again is a new one.
    let goes_on = |each: &Flight| is_over(&flight.step) || !is_over(&each.step);
    if let Some(known) = flights.iter_mut().find(|each| same(each) && goes_on(each)) {
        (known.step, known.at) = (flight.step, flight.at);
        return;
    }
    flights.retain(|each| !same(each));
    flights.push(Flight { number, ..flight });
    let surplus = flights.len().saturating_sub(MAX_FLIGHTS);
    flights.drain(..surplus);
}

/// Forgets those whose last step is long ago.
pub fn forget(flights: &mut Vec<Flight>, now: f64) {
    flights.retain(|flight| now - flight.at < STAYS_MS);
}

fn is_over(step: &str) -> bool {
    matches!(step, "done" | "aborted")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(to: &str, step: &str, at: f64) -> Flight {
        Flight { number: 0, service: "a@1".into(), from: "x".into(), to: to.into(), step: step.into(), at }
    }

    #[test]
    fn steps_belong_to_their_handover_and_are_bounded() {
        let mut flights = Vec::new();
        for (number, (to, what)) in
            [("y", "offer"), ("y", "done"), ("z", "offer"), ("y", "offer")].into_iter().enumerate()
        {
            step(&mut flights, number as u32, flight(to, what, number as f64));
        }
        let told: Vec<_> =
            flights.iter().map(|each| (each.number, each.to.as_str(), each.step.as_str())).collect();
        assert_eq!(told, [(2, "z", "offer"), (3, "y", "offer")]);
        for number in 0..100 {
            step(&mut flights, number, flight(&number.to_string(), "offer", 10.0));
        }
        assert_eq!(flights.len(), MAX_FLIGHTS);
        forget(&mut flights, 10.0 + STAYS_MS);
        assert!(flights.is_empty());
    }
}
