//! Requirements against capabilities: decided before one byte of code is fetched (Panitzek, Amoretti).

use std::collections::BTreeSet;

use super::{Energy, Manifest};

/// What a host has left for one more service, after its person's policy and what it runs already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Gas per second.
    pub gas_per_second: u64,
    /// Storage in MiB.
    pub storage_mib: u32,
    /// Bandwidth up in kbit/s; `None` when it was not measured, which fits only what asks for none.
    pub up_kbps: Option<u32>,
    /// Round trip to the service's consumers in ms; `None` when it was not measured, which fits any wish.
    pub latency_ms: Option<u32>,
    /// Named features.
    pub features: BTreeSet<String>,
    /// Runs on mains power.
    pub mains: bool,
}

/// The first requirement that a host does not meet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Memory.
    #[error("it needs {needs} MiB of memory, {has} MiB are left")]
    Memory {
        /// MiB.
        needs: u32,
        /// MiB.
        has: u32,
    },
    /// Processor.
    #[error("it needs {needs} gas per second, {has} are left")]
    Gas {
        /// Per second.
        needs: u64,
        /// Per second.
        has: u64,
    },
    /// Storage.
    #[error("it needs {needs} MiB of storage, {has} MiB are left")]
    Storage {
        /// MiB.
        needs: u32,
        /// MiB.
        has: u32,
    },
    /// Bandwidth.
    #[error("it needs {needs} kbit/s up, {has} are known")]
    Bandwidth {
        /// kbit/s.
        needs: u32,
        /// kbit/s.
        has: u32,
    },
    /// Latency.
    #[error("it needs a round trip of {needs} ms to its consumers, it is {has} ms")]
    Latency {
        /// ms.
        needs: u32,
        /// ms.
        has: u32,
    },
    /// A feature.
    #[error("it needs the feature {0}")]
    Feature(String),
    /// Power.
    #[error("it needs mains power")]
    Energy,
}

/// Does a host with these capabilities meet the manifest's requirements? Names the first that it does not meet.
pub fn fits(manifest: &Manifest, has: &Capabilities) -> Result<(), Unfit> {
    let needs = &manifest.requires;
    if needs.memory_mib > has.memory_mib {
        return Err(Unfit::Memory { needs: needs.memory_mib, has: has.memory_mib });
    }
    if needs.gas_per_second > has.gas_per_second {
        return Err(Unfit::Gas { needs: needs.gas_per_second, has: has.gas_per_second });
    }
    if needs.storage_mib > has.storage_mib {
        return Err(Unfit::Storage { needs: needs.storage_mib, has: has.storage_mib });
    }
    let up_kbps = has.up_kbps.unwrap_or(0);
    if needs.up_kbps > up_kbps {
        return Err(Unfit::Bandwidth { needs: needs.up_kbps, has: up_kbps });
    }
    if let (Some(needs), Some(has)) = (needs.latency_ms, has.latency_ms) {
        if has > needs {
            return Err(Unfit::Latency { needs, has });
        }
    }
    if let Some(feature) = needs.features.iter().find(|feature| !has.features.contains(*feature)) {
        return Err(Unfit::Feature(feature.clone()));
    }
    if needs.energy == Energy::Mains && !has.mains {
        return Err(Unfit::Energy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{limits, GAS_PER_EVENT, OUTPUT_BYTES, STACK_DEPTH};
    use crate::sandbox::Limits;

    /// Lines of `REQUIRES | memory gas storage up latency features power | OUTCOME`.
    const GOLDEN: &str = include_str!("fit.golden.txt");

    #[test]
    fn golden() {
        let mut cases = 0;
        for line in GOLDEN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let [requires, has, outcome] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("three columns: {line}");
            };
            let json = format!(
                r#"{{"name":"n","version":"1","engine":"wasm","state":"none","interface":{{}},"requires":{requires}}}"#
            );
            let manifest = Manifest::parse_author(json.as_bytes()).unwrap();
            let [memory, gas, storage, up, latency, features, power] = has.split(' ').collect::<Vec<_>>()[..]
            else {
                panic!("seven capabilities: {line}");
            };
            let has = Capabilities {
                memory_mib: memory.parse().unwrap(),
                gas_per_second: gas.parse().unwrap(),
                storage_mib: storage.parse().unwrap(),
                up_kbps: up.parse().ok(),
                latency_ms: latency.parse().ok(),
                features: features.split(',').map(str::to_owned).collect(),
                mains: power == "mains",
            };
            let found = fits(&manifest, &has).map_or_else(|unfit| unfit.to_string(), |()| "fits".to_owned());
            assert_eq!(found, outcome, "{line}");
            cases += 1;
        }
        assert!(cases >= 12);
    }

    #[test]
    fn limits_come_from_the_manifest_alone() {
        let json = br#"{"name":"n","version":"1","engine":"wasm","state":"none","interface":{},
            "requires":{"memoryMiB":2,"storageMiB":3,"gasPerSecond":1}}"#;
        assert_eq!(
            limits(&Manifest::parse_author(json).unwrap()),
            Limits {
                memory_pages: 32,
                gas_per_event: GAS_PER_EVENT,
                stack_depth: STACK_DEPTH,
                output_bytes: OUTPUT_BYTES,
                kv_bytes: 3 << 20
            }
        );
    }
}
