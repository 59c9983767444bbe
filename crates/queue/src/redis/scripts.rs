//! The scripts. Each runs inside Redis in one step, after the functions of `lua/common.lua`.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(include_str!("lua/common.lua"), include_str!($file)))
        });)*
    };
}

scripts! {
    ANNOUNCE = "lua/announce.lua";
    CACHE_GET = "lua/cache_get.lua";
    CACHE_PUT = "lua/cache_put.lua";
    CANCEL = "lua/cancel.lua";
    CLAIM = "lua/claim.lua";
    DUE = "lua/due.lua";
    EVENTS = "lua/events.lua";
    FINISH = "lua/finish.lua";
    HEARTBEAT = "lua/heartbeat.lua";
    LIST = "lua/list.lua";
    POSITION = "lua/position.lua";
    PRUNE = "lua/prune.lua";
    PUBLISH = "lua/publish.lua";
    RATE = "lua/rate.lua";
    REAP = "lua/reap.lua";
    RELEASE = "lua/release.lua";
    REPLAY = "lua/replay.lua";
    SETTLE = "lua/settle.lua";
    STATS = "lua/stats.lua";
    SUBMIT = "lua/submit.lua";
    UPDATE = "lua/update.lua";
}
