package synthetic

import "strings"

var (
	towns = strings.Split("Montefiorito,Borgo San Lupo,Castelnuovo al Colle,Rivalta,Pietrachiara,"+
		"Valdombra,San Michele in Piano,Torre Sant'Elia,Acquaviva Marina,Colle Alto,Fontanarossa,"+
		"Roccabruna,Villa Serena,Ponte Nuovo,Serralunga,Poggio Fiorito,Campolieto,Monteverde,"+
		"Santa Marta al Bosco,Isola Bianca,Altopiano,Vallechiara,Castel del Rivo,Pian dei Pini,"+
		"Sankt Martin im Tal,Obermühl,Val des Sapins,Brežani,Kamnovec,Marina di Sopra,Gravella,"+
		"Terranera,Cupramonti,Grottaferma,Sassolungo,Fiumefreddo Basso,Bagnolo,Casalvento", ",")
	streets = strings.Split("Via Roma,Via Garibaldi,Corso Italia,Via dei Mille,Via Verdi,"+
		"Piazza della Repubblica,Via Dante,Via Mazzini,Viale della Stazione,Via Marconi,"+
		"Via Cavour,Via Matteotti,Largo delle Rose,Via San Francesco,Via XX Settembre,"+
		"Via del Mulino,Vicolo Stretto,Via delle Betulle,Via Galileo Galilei,Salita al Castello,"+
		"Via dei Tigli,Via Vecchia Fornace,Strada Provinciale,Piazzale Europa,Via Pascoli,"+
		"Via della Resistenza,Lungofiume Nord,Via Monte Nero,Contrada Macchia,Via Torricelli,"+
		"Bahnhofstraße,Kirchgasse,Rue de l'Église,Ulica Svobode,Trg Padlih,Via Volta,"+
		"Via Caduti del Lavoro,Via Leopardi,Borgo Antico,Via Fratelli Cervi,Via Manzoni,"+
		"Calle Lunga,Fondamenta Nuova,Via degli Ulivi,Via Puccini,Località Pratolungo", ",")
	sites = strings.Split("servizi.montefiorito.example,comune.rivalta.example,"+
		"portale.valdombra.example,sportello.roccabruna.example,tributi.collealto.example,"+
		"salute.regione.example,scuole.serralunga.example,gemeinde.obermuehl.example", ",")
)
