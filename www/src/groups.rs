//! Who does what for which service, put together from what this tab knows: what it hosts itself, where its sessions go, what peers say that
//! they serve, and the catalogue.

use crate::model::{ServiceInfo, Status};

/// Services that are put together.
const MAX_GROUPS: usize = 64;
/// Members of one that are named.
const MAX_MEMBERS: usize = 32;

/// A member's part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// It serves.
    Leader,
    /// It holds the state and votes.
    Follower,
    /// It holds a warm copy.
    Standby,
    /// It is taking over.
    Joining,
}

impl Part {
    /// The word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Part::Leader => "serves",
            Part::Follower => "follows",
            Part::Standby => "stands by",
            Part::Joining => "takes over",
        }
    }

    /// The word for drawing.
    pub fn slug(self) -> &'static str {
        match self {
            Part::Leader => "leader",
            Part::Follower => "follower",
            Part::Standby => "standby",
            Part::Joining => "joining",
        }
    }
}

/// A service and who is known to have a part in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    pub service: String,
    /// Leaders first.
    pub members: Vec<(String, Part)>,
}

impl Group {
    /// The part of a peer.
    pub fn part(&self, peer: &str) -> Option<Part> {
        self.members.iter().find(|(member, _)| member == peer).map(|(_, part)| *part)
    }

    /// Those with this part.
    pub fn with(&self, part: Part) -> impl Iterator<Item = &str> {
        self.members.iter().filter(move |(_, each)| *each == part).map(|(peer, _)| peer.as_str())
    }

    /// The first source that names a peer is believed: they come in the order of how well they know.
    fn add(&mut self, peer: &str, part: Part) {
        if self.members.len() < MAX_MEMBERS && self.part(peer).is_none() {
            self.members.push((peer.to_owned(), part));
        }
    }
}

/// The groups that this tab knows of, by name.
pub fn groups(me: &str, status: &Status, catalogue: &[ServiceInfo]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for hosted in &status.hosting {
        let mine = match hosted.role.as_str() {
            "leader" => Part::Leader,
            "follower" | "witness" => Part::Follower,
            "standby" => Part::Standby,
            _ => Part::Joining,
        };
        let Some(group) = find(&mut groups, &hosted.service) else { break };
        group.add(me, mine);
        if let Some((to, _)) = hosted.handover.as_ref().filter(|(to, _)| to != me) {
            group.add(to, Part::Joining);
        }
        for standby in &hosted.standbys {
            group.add(standby, Part::Standby);
        }
    }
    for session in status.sessions.iter().filter(|session| session.server != me) {
        if let Some(group) = find(&mut groups, &session.service) {
            group.add(&session.server, Part::Leader);
        }
    }
    for peer in &status.peers {
        for service in &peer.hosting {
            if let Some(group) = find(&mut groups, service) {
                group.add(&peer.id, Part::Leader);
            }
        }
    }
    // After those who say that they lead: who else votes, follows.
    for hosted in &status.hosting {
        if let Some(group) = find(&mut groups, &hosted.service) {
            for member in &hosted.members {
                group.add(member, Part::Follower);
            }
        }
    }
    for service in catalogue {
        for host in service.hosts.iter().filter(|host| *host != me) {
            if let Some(group) = find(&mut groups, &service.id) {
                group.add(host, Part::Leader);
            }
        }
    }
    for group in &mut groups {
        group.members.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
    }
    groups.sort_by(|one, other| one.service.cmp(&other.service));
    groups
}

/// The group of a service, made where there is room.
fn find<'a>(groups: &'a mut Vec<Group>, service: &str) -> Option<&'a mut Group> {
    let at = groups.iter().position(|group| group.service == service);
    if at.is_none() && groups.len() < MAX_GROUPS {
        groups.push(Group { service: service.to_owned(), members: Vec::new() });
    }
    let at = at.or_else(|| groups.iter().position(|group| group.service == service))?;
    groups.get_mut(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hosted;
    use crate::model::{Path, PeerInfo};

    fn peer(id: &str, hosting: &[&str]) -> PeerInfo {
        PeerInfo {
            id: id.into(),
            name: String::new(),
            role: "tab".into(),
            path: Path::Direct,
            rtt_ms: None,
            volunteer: true,
            busy: 0,
            hosting: hosting.iter().map(|each| (*each).to_owned()).collect(),
        }
    }

    #[test]
    fn parts_come_from_whoever_knows_best() {
        let hosted = |service: &str, role: &str, members: &[&str]| Hosted {
            service: service.into(),
            role: role.into(),
            members: members.iter().map(|each| (*each).to_owned()).collect(),
            standbys: vec!["s".into()],
            ..Hosted::default()
        };
        let status = Status {
            hosting: vec![hosted("kv@1", "follower", &["me", "a", "b"]), hosted("one@1", "leader", &["me"])],
            peers: vec![peer("a", &["kv@1", "far@1"]), peer("b", &[])],
            ..Status::default()
        };
        let told: Vec<String> = groups("me", &status, &[])
            .iter()
            .map(|group| {
                let members = group.members.iter().map(|(peer, part)| format!("{peer} {}", part.word()));
                format!("{}: {}", group.service, members.collect::<Vec<_>>().join(", "))
            })
            .collect();
        assert_eq!(
            told,
            [
                "far@1: a serves",
                "kv@1: a serves, b follows, me follows, s stands by",
                "one@1: me serves, s stands by",
            ]
        );
    }
}
