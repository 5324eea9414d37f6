//! A relay for a test: on free ports of this machine, without a web tree, a data folder or other relays.

use relay_server::config::{Config, Limits, Tls};

/// Its settings; a test says what is different.
pub fn config() -> Config {
    Config {
        http: "127.0.0.1:0".parse().unwrap(),
        listen: vec!["/ip4/127.0.0.1/tcp/0/ws".parse().unwrap()],
        announce: Vec::new(),
        join: Vec::new(),
        data_dir: None,
        tls: Tls::Off,
        web: Some(std::env::temp_dir().join("no-such-web-tree")),
        json: true,
        name: "test".into(),
        limits: Limits::default(),
        http_limits: Default::default(),
        services: Default::default(),
        log: Default::default(),
    }
}
