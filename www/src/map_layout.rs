//! Where the nodes of the map stand: relays on an inner ellipse, tabs on one to three around it.

use std::f64::consts::TAU;

/// The map's size, in its own units.
pub const WIDTH: i32 = 560;
pub const HEIGHT: i32 = 400;
/// Half axes of the outermost ellipse: names below the nodes have room.
const ACROSS: f64 = 236.0;
const DOWN: f64 = 158.0;
/// Tabs on one ellipse, and on two; more stand on three.
const ONE_RING: usize = 24;
const TWO_RINGS: usize = 60;

/// A node's place and half of its size.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    pub x: i32,
    pub y: i32,
    pub size: i32,
}

/// Places for so many relays, then for so many tabs.
pub fn place(relays: usize, tabs: usize) -> Vec<Point> {
    let (rings, size): (&[(f64, usize)], i32) = if tabs <= ONE_RING {
        (&[(1.0, 1)], 10)
    } else if tabs <= TWO_RINGS {
        (&[(0.72, 2), (1.0, 3)], 8)
    } else {
        (&[(0.62, 3), (0.81, 4), (1.0, 5)], 6)
    };
    let mut places: Vec<Point> = ring(relays, relay_radius(tabs), relay_turn(tabs), size.min(9)).collect();
    let shares: usize = rings.iter().map(|(_, share)| share).sum();
    let mut left = tabs;
    for (index, (radius, share)) in rings.iter().enumerate() {
        let here = if index + 1 == rings.len() { left } else { tabs * share / shares };
        left -= here;
        // Rings are turned against each other, so that lines pass between nodes.
        places.extend(ring(here, *radius, index as f64 * 0.013, size));
    }
    places
}

/// The half axes of the ellipses that stand behind the nodes: of the relays, and of the outermost tabs.
pub fn ellipses(tabs: usize) -> [(i32, i32); 2] {
    [relay_radius(tabs), 1.0].map(|radius| ((ACROSS * radius) as i32, (DOWN * radius) as i32))
}

/// Relays stand between the first tabs, where no other line passes.
fn relay_turn(tabs: usize) -> f64 {
    match tabs {
        0 | 1 => 0.25,
        _ => 0.5 / tabs.min(ONE_RING) as f64,
    }
}

fn relay_radius(tabs: usize) -> f64 {
    if tabs <= ONE_RING {
        0.55
    } else {
        0.42
    }
}

/// `count` places evenly on an ellipse, starting `turn` of a circle after the top.
fn ring(count: usize, radius: f64, turn: f64, size: i32) -> impl Iterator<Item = Point> {
    (0..count).map(move |index| {
        let angle = TAU * (index as f64 / count as f64 + turn - 0.25);
        Point {
            x: WIDTH / 2 + (angle.cos() * ACROSS * radius).round() as i32,
            y: HEIGHT / 2 - 8 + (angle.sin() * DOWN * radius).round() as i32,
            size,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_place_of_its_own_inside_the_map() {
        for (relays, tabs) in [(0, 0), (1, 1), (2, 24), (4, 25), (3, 60), (8, 61), (3, 97), (8, 120)] {
            let places = place(relays, tabs);
            assert_eq!(places.len(), relays + tabs);
            for (index, at) in places.iter().enumerate() {
                let inside = at.x - at.size >= 0
                    && at.x + at.size <= WIDTH
                    && at.y - at.size >= 0
                    && at.y + at.size <= HEIGHT;
                assert!(inside, "{at:?} of {relays} and {tabs}");
                for other in &places[index + 1..] {
                    let apart = (at.x - other.x).pow(2) + (at.y - other.y).pow(2);
                    assert!(
                        apart >= (at.size + other.size).pow(2),
                        "{at:?} and {other:?} of {relays} and {tabs}"
                    );
                }
            }
        }
    }
}
