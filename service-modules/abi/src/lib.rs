//! The application binary interface between a service module and its host.
