//! Keys that must fit each other.

use super::Config;
use super::rule::{has_tls, is_redis};

/// What does not fit: the key and the message.
pub(super) fn together(config: &Config) -> Vec<(&'static str, String)> {
    let mut wrong = vec![];
    if config.cache.store == "redis" && !is_redis(&config.queue.url) {
        let message = "cache.store redis needs a redis:// queue.url, got another queue".to_owned();
        wrong.push(("cache.store", message));
    }
    if !config.queue.ca.as_os_str().is_empty() && !has_tls(&config.queue.url) {
        let message = "queue.ca needs a rediss:// queue.url, got one without TLS".to_owned();
        wrong.push(("queue.ca", message));
    }
    if let Some(circle) = circle(config) {
        wrong.push((
            "models.aliases",
            format!("models.aliases must not lead back to themselves, got {circle}"),
        ));
    }
    wrong
}

/// The first alias that leads to itself, as `a -> b -> a`.
fn circle(config: &Config) -> Option<String> {
    fn walk<'a>(config: &'a Config, name: &'a str, path: &mut Vec<&'a str>, done: &mut Vec<&'a str>) -> bool {
        if path.contains(&name) {
            path.push(name);
            return true;
        }
        if done.contains(&name) {
            return false;
        }
        path.push(name);
        for target in config.models.aliases.get(name).into_iter().flatten() {
            if walk(config, &target.model, path, done) {
                return true;
            }
        }
        path.pop();
        done.push(name);
        false
    }
    let mut done = vec![];
    config.models.aliases.keys().find_map(|name| {
        let mut path = vec![];
        walk(config, name, &mut path, &mut done).then(|| path.join(" -> "))
    })
}
