//! A study from its files to its results: inputs, the store, the page over HTTP, statistics, and the page in a browser.

mod browser;
mod client;
mod http;
mod input;
mod results;
mod store;
mod studies;
mod webdriver;
