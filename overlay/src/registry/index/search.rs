//! Searching an index: by name, text, tag and place.

use std::collections::BTreeSet;

use super::{Entry, Index};
use crate::id::ServiceId;
use crate::io::{Error, Query, RatingInfo, ServiceInfo};
use crate::manifest::StateKind;
use crate::registry::{Rating, ServiceRecord};
use crate::time::Time;
use crate::wire::MAX_RECORDS;

/// The most services that a search returns.
pub const MAX_RESULTS: usize = 200;
/// The most candidates that an ambiguous name lists.
const MAX_CANDIDATES: usize = 20;

impl Index {
    /// The service that `NAME` or `NAME@PUBLISHER` means.
    pub fn resolve(&self, text: &str, now: Time) -> Result<&ServiceRecord, Error> {
        let not_found = || Error::NotFound(text.chars().take(128).collect());
        if let Some((name, publisher)) = text.split_once('@') {
            let publisher = publisher.parse().map_err(|_| not_found())?;
            return self.service(ServiceId::new(publisher, name), now).ok_or_else(not_found);
        }
        let owners = self.by_name.get(text).into_iter().flatten();
        let found: Vec<&ServiceRecord> = owners.filter_map(|id| self.service(*id, now)).collect();
        match found[..] {
            [] => Err(not_found()),
            [one] => Ok(one),
            _ => Err(Error::Ambiguous(
                found.iter().take(MAX_CANDIDATES).map(|record| record.full_name()).collect(),
            )),
        }
    }

    /// The services that match, by name and publisher, at most [`MAX_RESULTS`].
    pub fn search(&self, query: &Query, now: Time) -> Vec<ServiceInfo> {
        self.matching(query, now).take(MAX_RESULTS).map(|(id, entry)| self.info(*id, entry, now)).collect()
    }

    /// The records that match, each service's before its hosts', at most [`MAX_RECORDS`]; last of all those of services that
    /// were withdrawn: who asks may know them from before.
    pub fn search_records(&self, query: &Query, now: Time) -> Vec<Vec<u8>> {
        let records = self.matching(query, now).flat_map(|(_, entry)| {
            let hosts = entry.live_hosts(now).map(|host| host.bytes.clone());
            std::iter::once(entry.bytes.clone()).chain(hosts)
        });
        let withdrawn = self.candidates(query).filter(|(_, entry)| entry.record.withdrawn);
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        let withdrawn = withdrawn.filter(move |(_, entry)| entry.matches(query, text.as_deref()));
        records.chain(withdrawn.map(|(_, entry)| entry.bytes.clone())).take(MAX_RECORDS).collect()
    }

    /// A relay that was searched says how a service is rated. What was not searched for is not its to tell.
    pub fn hear_rating(&mut self, query: &Query, service: ServiceId, rating: Rating) {
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        let entry = self.services.get_mut(&service).filter(|_| rating.is_possible());
        let named = |entry: &&mut Entry| query.name.as_ref().is_none_or(|name| *name == entry.record.name);
        if let Some(entry) = entry.filter(named).filter(|entry| entry.matches(query, text.as_deref())) {
            entry.heard = Some(rating);
        }
    }

    /// How the services that match are rated, at most [`MAX_RECORDS`].
    pub fn search_ratings(&self, query: &Query, now: Time) -> Vec<(ServiceId, Rating)> {
        // Where all raters took theirs back, too: who heard of them is to forget them.
        let rated = self.matching(query, now).filter(|(_, entry)| entry.ratings.len() > 0);
        rated.map(|(id, entry)| (*id, entry.ratings.sum(now))).take(MAX_RECORDS).collect()
    }

    fn matching<'a>(
        &'a self,
        query: &'a Query,
        now: Time,
    ) -> impl Iterator<Item = (&'a ServiceId, &'a Entry)> + 'a {
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        self.candidates(query)
            .filter(move |(_, entry)| entry.is_live(now) && entry.matches(query, text.as_deref()))
    }

    fn candidates<'a>(&'a self, query: &'a Query) -> impl Iterator<Item = (&'a ServiceId, &'a Entry)> + 'a {
        // By name or tag where one is asked for, else through all: by_name's order is the answer's order.
        let names: Box<dyn Iterator<Item = &BTreeSet<ServiceId>>> = match (&query.name, &query.tag) {
            (Some(name), _) => Box::new(self.by_name.get(name).into_iter()),
            (None, Some(tag)) => Box::new(self.by_tag.get(tag).into_iter()),
            (None, None) => Box::new(self.by_name.values()),
        };
        names.flatten().filter_map(|id| self.services.get_key_value(id))
    }

    fn info(&self, service: ServiceId, entry: &Entry, now: Time) -> ServiceInfo {
        let record = &entry.record;
        ServiceInfo {
            id: record.full_name(),
            name: record.name.clone(),
            publisher: record.publisher.to_string(),
            version: record.version.clone(),
            description: record.description.clone(),
            tags: record.tags.clone(),
            state: record.state.as_str().to_owned(),
            package: record.package.to_string(),
            location: record.location,
            has_ui: record.has_ui,
            url: record.url.clone(),
            hosts: self.serving(service, entry, now),
            sequence: record.sequence,
            rating: self.rating(service, now).map(|rating| RatingInfo {
                mean: (f64::from(rating.stars) / f64::from(rating.count) * 100.0).round() / 100.0,
                count: rating.count,
            }),
        }
    }

    /// Who serves, for people. The record of a former host lives on for a while after a move: of a service with state
    /// only the highest authority counts.
    fn serving(&self, service: ServiceId, entry: &Entry, now: Time) -> Vec<String> {
        let hosts = self.hosts(service, now);
        let highest = hosts.first().map(|host| (host.epoch, host.term));
        let many = entry.record.state == StateKind::None;
        let serving = hosts.into_iter().filter(|host| many || Some((host.epoch, host.term)) == highest);
        serving.map(|host| host.host.to_string()).collect()
    }
}

impl Entry {
    fn matches(&self, query: &Query, text: Option<&str>) -> bool {
        let record = &self.record;
        let has_text = |text: &str| {
            record.name.contains(text)
                || record.tags.iter().any(|tag| tag.contains(text))
                || self.description.contains(text)
        };
        query.tag.as_ref().is_none_or(|tag| record.tags.contains(tag))
            && text.is_none_or(has_text)
            && query.near.is_none_or(|(lat, lon, km)| {
                record.location.is_some_and(|location| distance_km(location, (lat, lon)) <= km)
            })
    }
}

/// On the great circle of a sphere of the Earth's mean radius.
fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (lat_a, lat_b) = (a.0.to_radians(), b.0.to_radians());
    let (lat, lon) = (lat_b - lat_a, (b.1 - a.1).to_radians());
    let h = (lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (lon / 2.0).sin().powi(2);
    2.0 * 6371.0 * h.sqrt().min(1.0).asin()
}
