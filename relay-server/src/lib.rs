//! A native node: relay, bootstrap, DHT server, HTTP; serves the web app.
