package synthetic

import "strings"

// Names by frequency, more or less: pickRanked prefers the first ones.
var (
	families = strings.Split("Rossi,Ferrari,Russo,Bianchi,Esposito,Romano,Colombo,Ricci,Marino,"+
		"Greco,Bruno,Gallo,Conti,De Luca,Costa,Giordano,Mancini,Rizzo,Lombardi,Moretti,Barbieri,"+
		"Fontana,Santoro,Mariani,Rinaldi,Caruso,Ferrara,Galli,Martini,Leone,Longo,Gentile,"+
		"Martinelli,Vitale,Lombardo,Serra,Coppola,De Santis,D'Angelo,Marchetti,Parisi,Villa,"+
		"Conte,Ferraro,Fabbri,Bianco,Marini,Grasso,Valentini,Messina,Sala,De Angelis,Gatti,"+
		"Pellegrini,Palumbo,Sanna,Farina,Rizzi,Monti,Cattaneo,Morelli,Amato,Silvestri,Mazza,"+
		"Testa,Grassi,Pellegrino,Carbone,Giuliani,Benedetti,Barone,Rossetti,Caputo,Montanari,"+
		"Guerra,Palmieri,Bernardi,Martino,Fiore,De Rosa,Ferretti,Bellini,Basile,Riva,Donati,"+
		"Piras,Vitali,Battaglia,Sartori,Neri,Costantini,Milani,Pagano,Ruggiero,Sorrentino,"+
		"D'Amico,Orlando,Negri,Mantovani,Moser,Hofer,Pichler,Gruber,Mair,Kofler,Egger,"+
		"Furlan,Kovač,Novak,Žerjal,Čok,Škerk,Blanc,Favre,Perret,Chabod,Manzù,Fo,Dolò,Bo,"+
		"Zanardi,Bortolussi,Quaglia,Zuccolo,Iaconelli,Abbatangelo,Scognamiglio,Mastrogiacomo,"+
		"Hu,Chen,Popescu,Hoxha,Singh,Benali,Kovalenko,Fernández", ",")
	men = strings.Split("Francesco,Alessandro,Andrea,Leonardo,Lorenzo,Mattia,Marco,Giuseppe,"+
		"Antonio,Luca,Giovanni,Matteo,Davide,Roberto,Stefano,Paolo,Salvatore,Vincenzo,Mario,"+
		"Luigi,Simone,Federico,Riccardo,Tommaso,Gabriele,Edoardo,Pietro,Michele,Nicolò,Filippo,"+
		"Giacomo,Emanuele,Daniele,Claudio,Massimo,Alberto,Enrico,Fabio,Carlo,Sergio,Domenico,"+
		"Angelo,Raffaele,Gennaro,Ciro,Pasquale,Maurizio,Giorgio,Bruno,Franco,Renato,Silvano,"+
		"Ettore,Elia,Noè,Ezio,Ivo,Ugo,Gianfranco,Piergiorgio,Jakob,Matthias,Lukas,Andrej,Matej,"+
		"Jean-Pierre,Ahmed,Omar,Ion,Wei,Balbino,Ermenegildo,Ulderico", ",")
	women = strings.Split("Sofia,Giulia,Aurora,Maria,Anna,Giuseppina,Rosa,Angela,Giovanna,"+
		"Teresa,Lucia,Carmela,Caterina,Francesca,Antonella,Carla,Elena,Paola,Laura,Sara,Chiara,"+
		"Martina,Alessia,Federica,Valentina,Silvia,Elisa,Ilaria,Roberta,Simona,Daniela,Cristina,"+
		"Monica,Barbara,Patrizia,Emma,Ginevra,Alice,Greta,Beatrice,Vittoria,Matilde,Bianca,"+
		"Ludovica,Camilla,Gaia,Noemi,Nicole,Margherita,Marta,Irene,Emanuela,Raffaella,Concetta,"+
		"Immacolata,Assunta,Luisa,Ida,Ada,Zoe,Mia,Ingrid,Verena,Katharina,Tjaša,Nataša,Špela,"+
		"Hélène,Fatima,Elena Maria,Oksana,Mei,Ermelinda,Quintilia,Domitilla", ",")
)
