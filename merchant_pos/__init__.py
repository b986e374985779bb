"""The till: an account payee that charges cards offline and deposits what it took when the server is there again."""
