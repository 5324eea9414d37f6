//! Example service: chat.
