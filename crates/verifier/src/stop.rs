// SPDX-License-Identifier: GPL-2.0-only
//! How verification ends early: with an error number of the kernel, or with the name of what is not done here.

use skep_uapi::Errno;

/// Why a check did not pass. A kernel's message, where it has one, is in the log already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The kernel returns this.
    Errno(Errno),
    /// What the program needs that this verifier does not do.
    Unsupported(String),
}

/// What a check gives.
pub(crate) type Res<T = ()> = Result<T, Stop>;

macro_rules! errnos {
    ($($name:ident)*) => { $(pub(crate) const $name: Stop = Stop::Errno(Errno::$name);)* };
}
errnos! { EPERM E2BIG ENOMEM EACCES EFAULT EBUSY EINVAL ERANGE EOPNOTSUPP ENOTSUPP EBADF }

/// Writes a line to the verifier's log as `verbose()` of the kernel does.
macro_rules! verbose {
    ($env:expr, $($arg:tt)*) => {
        if $env.log.needed() {
            $env.log.write(format_args!($($arg)*));
        }
    };
}
pub(crate) use verbose;

/// Says what would be a bug of the kernel's verifier, as `verifier_bug()` does, and gives `EFAULT`.
macro_rules! verifier_bug {
    ($env:expr, $fmt:literal $($arg:tt)*) => {{
        $crate::stop::verbose!($env, concat!("verifier bug: ", $fmt, "\n") $($arg)*);
        $crate::stop::EFAULT
    }};
}
pub(crate) use verifier_bug;
