//! Both roles against each other.

use super::support::*;

#[test]
fn full_handshake_and_data() {
    let mut client = client(client_settings());
    let mut server = server(server_settings());
    shake(&mut client, &mut server).unwrap();
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(client.suite(), server.suite());
    exchange_data(&mut client, &mut server);
}
