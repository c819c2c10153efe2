"""Floor 2: bytes, frames and contacts become events. The only floor that touches hardware."""
