//! Who is connected by HTTP, and who has to go when there are too many.
//!
//! A connection costs its client nothing, so a limit alone would let whoever opens sockets lock everybody else out. When
//! the places are taken, the newcomer gets the place of a connection that is of least use: one that asks nothing first,
//! then one whose client does not read its answer, then one that has been at one answer for long. Only when everybody
//! is being answered the newcomer is refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A client that has taken nothing of its answer for this long may lose its place.
const BLOCKED: Duration = Duration::from_secs(2);
/// An answer that has taken this long may lose its place: the app's largest file at 64 KiB a second.
const LONG: Duration = Duration::from_secs(30);

/// All connections. Clones are handles on the same table.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Mutex<Table>>);

struct Table {
    total: usize,
    per_address: usize,
    next: u64,
    places: HashMap<u64, Place>,
    refused: u64,
    evicted: u64,
}

struct Place {
    address: IpAddr,
    activity: Activity,
    evicted: Arc<Notify>,
}

/// A connection's place in the table; dropping it frees the place.
pub(crate) struct Seat {
    connections: Connections,
    id: u64,
    /// What the connection is doing; whoever serves it keeps this true.
    pub(super) activity: Activity,
    evicted: Arc<Notify>,
}

/// What the table has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open now.
    pub open: usize,
    /// Connections that were refused because all places were taken by clients being answered.
    pub refused: u64,
    /// Connections that had to go for others.
    pub evicted: u64,
}

impl Connections {
    /// At most `total` connections, at most `per_address` of one IPv4 address or IPv6 network of 64 bits.
    pub fn new(total: usize, per_address: usize) -> Self {
        let places = HashMap::new();
        let table = Table { total, per_address, next: 0, places, refused: 0, evicted: 0 };
        Self(Arc::new(Mutex::new(table)))
    }

    /// A place for a connection from `address`, at the cost of another one if need be; `None` if all are in use.
    pub fn admit(&self, address: IpAddr) -> Option<Seat> {
        let address = network(address);
        let mut table = self.lock();
        if !table.make_room(address, Instant::now()) {
            table.refused += 1;
            return None;
        }
        let id = table.next;
        table.next += 1;
        let (activity, evicted) = (Activity::default(), Arc::new(Notify::new()));
        table.places.insert(id, Place { address, activity: activity.clone(), evicted: evicted.clone() });
        Some(Seat { connections: self.clone(), id, activity, evicted })
    }

    /// How many there are, and what became of others.
    pub fn counts(&self) -> Counts {
        let table = self.lock();
        Counts { open: table.places.len(), refused: table.refused, evicted: table.evicted }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn make_room(&mut self, address: IpAddr, now: Instant) -> bool {
        let own = self.places.values().filter(|place| place.address == address).count();
        if own >= self.per_address {
            return self.evict(address, now);
        }
        if self.places.len() < self.total {
            return true;
        }
        // Whoever holds the most pays; the newcomer's own address only if it is the one.
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        self.places.values().for_each(|place| *held.entry(place.address).or_default() += 1);
        let mut held: Vec<_> = held.into_iter().collect();
        held.sort_by_key(|(address, count)| (std::cmp::Reverse(*count), *address));
        held.into_iter().any(|(address, _)| self.evict(address, now))
    }

    fn evict(&mut self, address: IpAddr, now: Instant) -> bool {
        let use_of = |(id, place): (&u64, &Place)| Some((place.activity.least_use(now)?, *id));
        let of_address = self.places.iter().filter(|(_, place)| place.address == address);
        let Some((_, id)) = of_address.filter_map(use_of).min() else { return false };
        if let Some(place) = self.places.remove(&id) {
            place.evicted.notify_one();
            self.evicted += 1;
        }
        true
    }
}

impl Seat {
    /// Ends when the connection has to go.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.lock().places.remove(&self.id);
    }
}

/// One client is one address, or the network that an IPv6 provider gives to one customer.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

/// What one connection is doing.
#[derive(Clone, Default)]
pub(super) struct Activity(Arc<Mutex<Doing>>);

struct Doing {
    /// Requests whose answers are being made or sent.
    answering: usize,
    /// Bytes wait for the client.
    unsent: bool,
    /// The client has taken nothing since.
    blocked: Option<Instant>,
    /// When it began to do what it does.
    since: Instant,
}

impl Default for Doing {
    fn default() -> Self {
        Self { answering: 0, unsent: false, blocked: None, since: Instant::now() }
    }
}

/// In which order connections go: the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Idle(Instant),
    Blocked(Instant),
    Long(Instant),
}

impl Activity {
    /// A request has come; it is being answered until the returned guard goes.
    pub fn answer(&self) -> Answering {
        let mut doing = self.lock();
        doing.answering += 1;
        doing.since = Instant::now();
        Answering(self.clone())
    }

    /// Bytes wait for the client, who takes none.
    pub fn on_blocked(&self) {
        let mut doing = self.lock();
        doing.unsent = true;
        doing.blocked.get_or_insert_with(Instant::now);
    }

    /// The client has taken some.
    pub fn on_taken(&self) {
        let mut doing = self.lock();
        doing.unsent = true;
        doing.blocked = None;
    }

    /// The client has taken all.
    pub fn on_flushed(&self) {
        let mut doing = self.lock();
        doing.blocked = None;
        if std::mem::take(&mut doing.unsent) && doing.answering == 0 {
            doing.since = Instant::now();
        }
    }

    /// Of what little use the connection is; `None` while it is of use.
    fn least_use(&self, now: Instant) -> Option<Use> {
        let doing = self.lock();
        let past = |at: Instant, time| now.saturating_duration_since(at) >= time;
        if doing.answering == 0 && !doing.unsent {
            Some(Use::Idle(doing.since))
        } else if let Some(at) = doing.blocked.filter(|at| past(*at, BLOCKED)) {
            Some(Use::Blocked(at))
        } else {
            past(doing.since, LONG).then_some(Use::Long(doing.since))
        }
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request is being answered while this lives.
pub(super) struct Answering(Activity);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut doing = self.0.lock();
        doing.answering -= 1;
        doing.since = Instant::now();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn gone(seat: &Seat) -> bool {
        !seat.connections.lock().places.contains_key(&seat.id)
    }

    #[test]
    fn the_oldest_idle_connection_of_an_address_gives_way_and_one_in_use_never() {
        let connections = Connections::new(10, 3);
        let seats: Vec<Seat> = (0..3).map(|_| connections.admit(address(1)).unwrap()).collect();
        let used = seats[0].activity.answer();
        let newcomer = connections.admit(address(1)).unwrap();
        assert_eq!(seats.iter().map(gone).collect::<Vec<_>>(), [false, true, false]);
        let _all = [seats[2].activity.answer(), newcomer.activity.answer()];
        assert!(connections.admit(address(1)).is_none(), "everybody is being answered");
        assert!(connections.admit(address(2)).is_some(), "another address has places of its own");
        drop(used);
        seats[0].activity.on_taken();
        assert!(connections.admit(address(1)).is_none(), "the answer is not sent yet");
        seats[0].activity.on_flushed();
        assert!(connections.admit(address(1)).is_some());
        assert!(gone(&seats[0]));
        assert_eq!(connections.counts(), Counts { open: 2, refused: 2, evicted: 2 });
    }

    #[test]
    fn the_address_that_holds_the_most_pays_for_everybody() {
        let connections = Connections::new(5, 4);
        let few = connections.admit(address(1)).unwrap();
        let many: Vec<Seat> = (0..4).map(|_| connections.admit(address(2)).unwrap()).collect();
        let newcomer = connections.admit(address(3)).unwrap();
        assert!(gone(&many[0]) && !gone(&few) && !gone(&newcomer));
        assert_eq!(connections.counts().open, 5);
        drop(many);
        assert_eq!(connections.counts().open, 2);
    }

    #[test]
    fn a_client_that_does_not_read_goes_before_one_that_reads_slowly() {
        let (slow, deaf) = (Activity::default(), Activity::default());
        let _answers = (slow.answer(), deaf.answer());
        slow.on_taken();
        deaf.on_blocked();
        let now = Instant::now();
        assert_eq!((slow.least_use(now), deaf.least_use(now)), (None, None));
        let later = now + LONG;
        assert!(deaf.least_use(later).unwrap() < slow.least_use(later).unwrap());
        deaf.on_taken();
        assert_eq!(deaf.least_use(now + BLOCKED), None);
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let connections = Connections::new(10, 1);
        let first = connections.admit("2001:db8::1".parse().unwrap()).unwrap();
        let _second = connections.admit("2001:db8::2".parse().unwrap()).unwrap();
        let _mapped = connections.admit("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        let _other = connections.admit("10.0.0.2".parse().unwrap()).unwrap();
        assert!(gone(&first));
        assert_eq!(connections.counts().open, 3);
    }
}
