//! The native dialect: `/v1/<resource>/…/<action>`, one envelope, HTTP 200 for everything but an unknown route.
