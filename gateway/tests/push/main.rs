//! Accounts, devices and changes from outside: a gateway on embedded engines, asked over loopback. Knows REST and datagrams; must not
//! know the door's inside.

mod accounts;
mod alerts;
mod changes;
mod claims;
mod config;
mod devices;
mod events;
mod house;
mod me;
mod models;
