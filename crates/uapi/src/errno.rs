// SPDX-License-Identifier: MIT OR Apache-2.0
//! Error numbers (`errno`) of the kernel.

use core::fmt;

/// An error number, positive as user space sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal $text:literal;)*) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "`: ", $text, ".")] pub const $name: Errno = Errno($value);)*

            /// The symbolic name, for instance `"EINVAL"`.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What the number means, in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown error",
                }
            }
        }
    };
}

errnos! {
    EPERM = 1 "operation not permitted";
    ENOENT = 2 "no such file or directory";
    ESRCH = 3 "no such process";
    EINTR = 4 "interrupted system call";
    EIO = 5 "input/output error";
    ENXIO = 6 "no such device or address";
    E2BIG = 7 "argument list too long";
    ENOEXEC = 8 "exec format error";
    EBADF = 9 "bad file descriptor";
    ECHILD = 10 "no child processes";
    EAGAIN = 11 "resource temporarily unavailable";
    ENOMEM = 12 "cannot allocate memory";
    EACCES = 13 "permission denied";
    EFAULT = 14 "bad address";
    EBUSY = 16 "device or resource busy";
    EEXIST = 17 "file exists";
    ENODEV = 19 "no such device";
    ENOTDIR = 20 "not a directory";
    EISDIR = 21 "is a directory";
    EINVAL = 22 "invalid argument";
    ENFILE = 23 "too many open files in system";
    EMFILE = 24 "too many open files";
    ENOSPC = 28 "no space left on device";
    EPIPE = 32 "broken pipe";
    EDOM = 33 "numerical argument out of domain";
    ERANGE = 34 "numerical result out of range";
    EDEADLK = 35 "resource deadlock avoided";
    ENAMETOOLONG = 36 "file name too long";
    ENOSYS = 38 "function not implemented";
    ELOOP = 40 "too many levels of symbolic links";
    EPROTO = 71 "protocol error";
    EOVERFLOW = 75 "value too large for defined data type";
    EILSEQ = 84 "invalid or incomplete multibyte or wide character";
    EMSGSIZE = 90 "message too long";
    EPROTONOSUPPORT = 93 "protocol not supported";
    ESOCKTNOSUPPORT = 94 "socket type not supported";
    EOPNOTSUPP = 95 "operation not supported";
    EAFNOSUPPORT = 97 "address family not supported by protocol";
    ENETDOWN = 100 "network is down";
    ENETUNREACH = 101 "network is unreachable";
    ENOTCONN = 107 "transport endpoint is not connected";
    ETIMEDOUT = 110 "connection timed out";
    ECONNREFUSED = 111 "connection refused";
    EALREADY = 114 "operation already in progress";
    EINPROGRESS = 115 "operation now in progress";
    ENOTSUPP = 524 "operation not supported (internal to the kernel)";
}

impl Errno {
    /// The number as a helper or system call of the kernel returns it: negative.
    #[must_use]
    pub const fn negative(self) -> i64 {
        -(self.0 as i64)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.text()),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl std::error::Error for Errno {}
