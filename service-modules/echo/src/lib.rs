//! Example service: echo.
