//! Who is connected, and who has to go when there are too many.
//!
//! A connection costs its client nothing, so a limit alone would let whoever opens sockets lock everybody else out. When
//! the places are taken, the newcomer gets the place of a connection that is of least use, see [`Use`]: of the address that
//! holds the most. Only when everybody is being answered the newcomer is refused.
//!
//! A flood asks for thousands of places a second: an address's connections are judged all at once, and what came of it is used
//! up before they are judged again.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::activity::{Activity, Use};

/// A judgement is used for this long: whoever has become idle meanwhile is overlooked, whoever has become of use is not taken.
const JUDGED: Duration = Duration::from_millis(100);

/// All connections. Clones are handles on the same table.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Mutex<Table>>);

struct Table {
    total: usize,
    per_address: usize,
    next: u64,
    open: usize,
    /// By address; none is empty.
    groups: HashMap<IpAddr, Group>,
    /// The same addresses by how much they hold.
    weights: BTreeSet<(usize, Reverse<IpAddr>)>,
    refused: u64,
    evicted: u64,
}

/// The connections of one address.
#[derive(Default)]
struct Group {
    places: HashMap<u64, Place>,
    /// Whoever could go when it was judged, least use first.
    spare: VecDeque<(Use, u64)>,
    /// Those of them whose bodies had not come.
    asking: VecDeque<(Use, u64)>,
    judged: Option<Instant>,
}

struct Place {
    activity: Activity,
    evicted: Arc<Notify>,
}

/// A connection's place in the table; dropping it frees the place.
pub(crate) struct Seat {
    connections: Connections,
    address: IpAddr,
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
        Self(Arc::new(Mutex::new(Table {
            total,
            per_address,
            next: 0,
            open: 0,
            groups: HashMap::new(),
            weights: BTreeSet::new(),
            refused: 0,
            evicted: 0,
        })))
    }

    /// A place for a connection from `address`, at the cost of another one if need be; `None` if all are in use.
    pub fn admit(&self, address: IpAddr) -> Option<Seat> {
        let address = network(address);
        let mut table = self.lock();
        if !table.make_room(address, Instant::now()) {
            table.refused += 1;
            return None;
        }
        let (activity, evicted) = (Activity::default(), Arc::new(Notify::new()));
        let id = table.insert(address, Place { activity: activity.clone(), evicted: evicted.clone() });
        Some(Seat { connections: self.clone(), address, id, activity, evicted })
    }

    /// Ends a connection whose request's body has not come, of the address that holds the most connections; `false` if there is
    /// none.
    pub fn evict_asking(&self) -> bool {
        let mut table = self.lock();
        let now = Instant::now();
        table.heaviest().into_iter().any(|address| table.evict(address, now, Group::next_asking))
    }

    /// Is more than half of the places taken? A connection that asks nothing costs as much as one that does.
    pub fn are_many(&self) -> bool {
        let table = self.lock();
        table.open > table.total / 2
    }

    /// How many there are, and what became of others.
    pub fn counts(&self) -> Counts {
        let table = self.lock();
        Counts { open: table.open, refused: table.refused, evicted: table.evicted }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn make_room(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.groups.get(&address).is_some_and(|own| own.places.len() >= self.per_address) {
            return self.evict(address, now, Group::next_spare);
        }
        if self.open < self.total {
            return true;
        }
        // Whoever holds the most pays; the newcomer's own address only if it is the one.
        let first = self.weights.last().map(|(_, Reverse(address))| *address);
        first.is_some_and(|address| self.evict(address, now, Group::next_spare))
            || self.heaviest().into_iter().any(|address| self.evict(address, now, Group::next_spare))
    }

    /// Addresses, whoever holds the most first.
    fn heaviest(&self) -> Vec<IpAddr> {
        self.weights.iter().rev().map(|(_, Reverse(address))| *address).collect()
    }

    fn evict(&mut self, address: IpAddr, now: Instant, next: fn(&mut Group, Instant) -> Option<u64>) -> bool {
        let id = self.groups.get_mut(&address).and_then(|group| next(group, now));
        let Some(place) = id.and_then(|id| self.remove(address, id)) else { return false };
        place.evicted.notify_one();
        self.evicted += 1;
        true
    }

    fn insert(&mut self, address: IpAddr, place: Place) -> u64 {
        let id = self.next;
        self.next += 1;
        self.open += 1;
        let group = self.groups.entry(address).or_default();
        self.weights.remove(&(group.places.len(), Reverse(address)));
        group.places.insert(id, place);
        self.weights.insert((group.places.len(), Reverse(address)));
        id
    }

    fn remove(&mut self, address: IpAddr, id: u64) -> Option<Place> {
        let group = self.groups.get_mut(&address)?;
        let before = group.places.len();
        let place = group.places.remove(&id)?;
        self.open -= 1;
        self.weights.remove(&(before, Reverse(address)));
        match group.places.len() {
            0 => drop(self.groups.remove(&address)),
            left => drop(self.weights.insert((left, Reverse(address)))),
        }
        Some(place)
    }
}

impl Group {
    /// Whoever is of least use; `None` while all are of use.
    fn next_spare(&mut self, now: Instant) -> Option<u64> {
        self.judge_if_old(now);
        self.pop(now, |group| &mut group.spare).or_else(|| {
            self.judge(now);
            self.pop(now, |group| &mut group.spare)
        })
    }

    /// Whoever has been asking longest. Nobody, if there was nobody at the last judgement: this is asked for each piece of a body.
    fn next_asking(&mut self, now: Instant) -> Option<u64> {
        self.judge_if_old(now);
        self.pop(now, |group| &mut group.asking)
    }

    fn judge_if_old(&mut self, now: Instant) {
        if self.judged.is_none_or(|at| now.saturating_duration_since(at) >= JUDGED) {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Instant) {
        let use_of = |(id, place): (&u64, &Place)| Some((place.activity.least_use(now)?, *id));
        let mut spare: Vec<(Use, u64)> = self.places.iter().filter_map(use_of).collect();
        spare.sort_unstable();
        self.asking = spare.iter().filter(|(of, _)| matches!(of, Use::Asking(_))).copied().collect();
        self.spare = spare.into();
        self.judged = Some(now);
    }

    /// The next one that does what it did when it was judged.
    fn pop(&mut self, now: Instant, queue: fn(&mut Group) -> &mut VecDeque<(Use, u64)>) -> Option<u64> {
        while let Some((judged, id)) = queue(self).pop_front() {
            if self.places.get(&id).and_then(|place| place.activity.least_use(now)) == Some(judged) {
                return Some(id);
            }
        }
        None
    }
}

impl Seat {
    /// The table that it is a place in.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Ends when the connection has to go.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.lock().remove(self.address, self.id);
    }
}

/// One client is one address, or the network that an IPv6 provider gives to one customer.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
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
        let table = seat.connections.lock();
        !table.groups.get(&seat.address).is_some_and(|group| group.places.contains_key(&seat.id))
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
    fn an_ipv6_network_is_one_client() {
        let connections = Connections::new(10, 1);
        let first = connections.admit("2001:db8::1".parse().unwrap()).unwrap();
        let _second = connections.admit("2001:db8::2".parse().unwrap()).unwrap();
        let _mapped = connections.admit("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        let _other = connections.admit("10.0.0.2".parse().unwrap()).unwrap();
        assert!(gone(&first));
        assert_eq!(connections.counts().open, 3);
    }

    #[test]
    fn bodies_that_do_not_come_make_room_for_bodies_and_for_connections() {
        let connections = Connections::new(4, 4);
        assert!(!connections.are_many());
        let slow: Vec<Seat> = (0..3).map(|_| connections.admit(address(1)).unwrap()).collect();
        let _bodies: Vec<_> = slow.iter().map(|seat| (seat.activity.answer(), seat.activity.ask())).collect();
        let whole = connections.admit(address(1)).unwrap();
        let _answer = whole.activity.answer();
        assert!(connections.are_many());
        assert!(connections.evict_asking());
        assert_eq!(slow.iter().map(gone).collect::<Vec<_>>(), [true, false, false]);
        let newcomers = [2, 3].map(|n| connections.admit(address(n)).unwrap());
        assert_eq!(slow.iter().map(gone).collect::<Vec<_>>(), [true, true, false]);
        drop(newcomers);
        assert!(connections.evict_asking());
        assert!(!connections.evict_asking(), "whoever has asked all of it is not asking");
        assert!(!gone(&whole));
    }
}
